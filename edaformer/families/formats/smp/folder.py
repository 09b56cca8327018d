"""What segmentation_models_pytorch's ``save_pretrained`` writes: config.json and model.safetensors.

The configuration holds what the model's class was called with. What it says of the network has to
be what the weights say; what it says of images is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats.backbones import linear
from edaformer.families.formats.file import Reader, loaded
from edaformer.families.formats.smp.names import PROJECT
from edaformer.families.formats.smp.refused import USE, refuse_model
from edaformer.families.given import Given
from edaformer.families.mit.sizes import ENCODERS, PATCHES, RATIOS, MiTSizes
from edaformer.families.reading import folder
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.keys import keys_of
from edaformer.families.reading.training import ADAPTED, adapted_record
from edaformer.families.reading.weights import Weights

CONFIG = "config.json"
ADAPTED_KEY = f"_{ADAPTED}"  # its from_pretrained passes over what begins so
_CLASS = "_model_class"
_SIGNS = (_CLASS, "encoder_name")
ENCODER_NAMES = {  # of encoders
    **{f"mit_{name.removeprefix('mit-')}": name for name in ENCODERS if name.startswith("mit-")},
    **{f"tu-pvt_v2_{name.removeprefix('pvt-v2-')}": name
       for name in ENCODERS if name.startswith("pvt-v2-")},
    "tu-pvt_v2_b5": "mit-b5",
}  # fmt: skip
_LINEAR = re.compile(r"tu-pvt_v2_b\d_li")
_NO_ACTIVATION = (None, "identity")
# of which class has the highest score they change nothing
_ACTIVATIONS = ("sigmoid", "softmax", "softmax2d", "logsoftmax", "tanh", "argmax", "argmax2d")
# Arguments of every class, and what they may be
_SUPPORTED: dict[str, tuple[object, ...]] = {"in_channels": (3,), "encoder_depth": (5,)}
# that are checked otherwise, or change nothing here: timm's of dropping matter in training alone
_OTHER_ARGUMENTS = ("encoder_name", "encoder_weights", "classes", "activation", "aux_params",
                    "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate")  # fmt: skip
# for classes that have it: by the argument of 0.5 and later, and by the older one
BATCHNORM: dict[str, tuple[object, ...]] = {
    "decoder_use_norm": ("batchnorm", True, {"type": "batchnorm"}),
    "decoder_use_batchnorm": (True,),
}


@dataclass(frozen=True)
class ModelClass:
    """One of its classes, by the arguments that are its own."""

    name: str
    supported: Mapping[str, tuple[object, ...]]  # what they may be, where weights do not say it
    told: Mapping[str, Callable[[Any], object]]  # what they are, by the sizes that weights have
    unused: tuple[str, ...] = ()  # those that matter in training alone


def is_smp_folder(path: Path) -> bool:
    """Whether a folder's configuration is one of theirs."""
    file = path / CONFIG
    return file.is_file() and any(sign in read_object(file) for sign in _SIGNS)


def class_of(path: Path) -> str | None:
    """The class that such a folder's configuration names."""
    found = read_object(path / CONFIG).get(_CLASS)
    return found if isinstance(found, str) else None


def load_smp_folder(
    path: Path, given: Given, reader: Reader, digest: str, classes: Collection[ModelClass]
) -> Checkpoint:
    """Read and check a folder.

    Args:
        path: of the folder.
        given: for what neither weights nor configuration say.
        reader: of the family's files.
        digest: of the folder.
        classes: that the family has; a configuration without one has the first.

    Raises:
        CheckpointError: if it holds another model, or its configuration is not the weights'.
        MissingError: without torch or safetensors.
    """
    content = read_object(path / CONFIG)
    kind = _class(path, content, classes)
    if not (path / folder.WEIGHTS).is_file():
        raise CheckpointError(
            f"expected the weights in {path} as {folder.WEIGHTS}, found none; save the model again "
            "with save_pretrained"
        )
    _check_encoder(path, content, reader)
    _check_arguments(path, content, kind, reader)
    read = Weights(folder.read_folder(path, reader.anchors), {})
    made = loaded(path, read, given, reader, digest)
    _check_told(path, content, kind, made)
    notes = list(made.notes)
    if (activation := content.get("activation")) not in _NO_ACTIVATION:
        notes.append(f"the activation '{activation}': labels are the same without, and logits "
                     "are those before it")  # fmt: skip
    record = {ADAPTED: content[ADAPTED_KEY]} if ADAPTED_KEY in content else {}
    adapted = adapted_record(record, notes)
    return replace(made, notes=tuple(notes), adapted=adapted)


def _class(path: Path, content: Mapping[str, Any], classes: Collection[ModelClass]) -> ModelClass:
    known = {one.name: one for one in classes}
    name = content.get(_CLASS, next(iter(known)))
    if isinstance(name, str):
        refuse_model(path, name)
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(
            f"expected {_CLASS} in {path / CONFIG} as a class of {PROJECT}'s that is supported, "
            f"got {name!a:.60}; {USE}"
        )
    return known[name]


def _check_encoder(path: Path, content: Mapping[str, Any], reader: Reader) -> None:
    encoder = content.get("encoder_name")
    if isinstance(encoder, str) and encoder in ENCODER_NAMES:
        return
    if isinstance(encoder, str) and _LINEAR.fullmatch(encoder):
        raise linear(path)
    reader.refuse(path, keys_of(path / folder.WEIGHTS))
    raise CheckpointError(
        f"expected the encoder mit_b0 to mit_b5 or tu-pvt_v2_b0 to tu-pvt_v2_b5 in {path / CONFIG},"
        f" got {encoder!a:.60}: another has no pooled keys, or is not built yet; use a model with "
        "one of these"
    )


def _check_arguments(
    path: Path, content: Mapping[str, Any], kind: ModelClass, reader: Reader
) -> None:
    supported = {**_SUPPORTED, **kind.supported}
    checked = {*supported, *kind.told, *kind.unused, *_OTHER_ARGUMENTS}
    for name, got in content.items():
        if name not in checked and not name.startswith("_"):
            reader.refuse(path, keys_of(path / folder.WEIGHTS))
            raise CheckpointError(
                f"{path / CONFIG} has the argument {name!a:.60}, which is not known here and may "
                "make another network; use a model without it"
            )
        if name in supported and got not in supported[name]:
            raise CheckpointError(
                f"expected {name} {supported[name][0]!r} in {path / CONFIG}, got {got!a:.60}; no "
                "other is supported"
            )
    activation = content.get("activation")
    if activation not in (*_NO_ACTIVATION, *_ACTIVATIONS):
        raise CheckpointError(
            f"expected activation in {path / CONFIG} as null or one of {', '.join(_ACTIVATIONS)}, "
            f"got {activation!a:.60}; no other is supported"
        )


def _check_told(path: Path, content: Mapping[str, Any], kind: ModelClass, made: Checkpoint) -> None:
    """What the configuration says of the network, against the weights."""
    sizes: MiTSizes = made.variant  # type: ignore[assignment]  # of families with this encoder
    name = content["encoder_name"]
    widths, depths, mlp_ratios = ENCODERS[ENCODER_NAMES[name]]
    found = {
        "classes": (content.get("classes"), made.num_classes),
        "encoder_name": (
            (widths, depths, mlp_ratios, RATIOS, PATCHES),
            (sizes.widths, sizes.depths, sizes.mlp_ratios, sizes.ratios, sizes.patches),
        ),
        **{what: (content.get(what), own(sizes)) for what, own in kind.told.items()},
    }
    for what, (said, own) in found.items():
        if what in content and said != own:
            raise CheckpointError(
                f"{path / CONFIG} says {what} {content[what]!a:.60}, and the weights beside it "
                f"have {own}; copy the folder again"
            )
