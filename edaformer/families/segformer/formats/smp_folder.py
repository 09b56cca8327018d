"""What segmentation_models_pytorch's ``save_pretrained`` writes: config.json and model.safetensors.

The configuration holds what the model's class was called with. What it says of the network has to
be what the weights say; what it says of images is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats.file import Reader, loaded
from edaformer.families.given import Given
from edaformer.families.reading import folder
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.training import ADAPTED, adapted_record
from edaformer.families.reading.weights import Weights
from edaformer.families.segformer.sizes import SEGFORMERS, SegFormerSizes

CONFIG = "config.json"
ADAPTED_KEY = f"_{ADAPTED}"  # its from_pretrained passes over what begins so
_SIGNS = ("_model_class", "encoder_name")
_SUPPORTED = {"_model_class": "Segformer", "in_channels": 3, "encoder_depth": 5, "upsampling": 4}
_ENCODER = "mit_"
_NO_ACTIVATION = (None, "identity")
# of which class has the highest score they change nothing
_ACTIVATIONS = ("sigmoid", "softmax", "softmax2d", "logsoftmax", "tanh", "argmax", "argmax2d")


def is_smp_folder(path: Path) -> bool:
    """Whether a folder's configuration is one of theirs."""
    return any(sign in read_object(path / CONFIG) for sign in _SIGNS)


def load_smp_folder(path: Path, given: Given, reader: Reader, digest: str) -> Checkpoint:
    """Read and check a folder.

    Raises:
        CheckpointError: if it holds another model, or its configuration is not the weights'.
        MissingError: without torch or safetensors.
    """
    content = read_object(path / CONFIG)
    _check_supported(path, content)
    if not (path / folder.WEIGHTS).is_file():
        raise CheckpointError(
            f"expected the weights in {path} as {folder.WEIGHTS}, found none; save the model again "
            "with save_pretrained"
        )
    read = Weights(folder.read_folder(path, reader.anchors), {})
    made = loaded(path, read, given, reader, digest)
    _check_told(path, content, made)
    notes = list(made.notes)
    if (activation := content.get("activation")) not in _NO_ACTIVATION:
        notes.append(f"the activation '{activation}': labels are the same without, and logits "
                     "are those before it")  # fmt: skip
    record = {ADAPTED: content[ADAPTED_KEY]} if ADAPTED_KEY in content else {}
    adapted = adapted_record(record, notes)
    return replace(made, notes=tuple(notes), adapted=adapted)


def _check_supported(path: Path, content: Mapping[str, Any]) -> None:
    for name, wanted in _SUPPORTED.items():
        if (got := content.get(name, wanted)) != wanted:
            raise CheckpointError(
                f"expected {name} {wanted!r} in {path / CONFIG}, got {got!a:.60}; no other is "
                "supported"
            )
    encoder = content.get("encoder_name")
    if not isinstance(encoder, str) or not encoder.startswith(_ENCODER):
        raise CheckpointError(
            f"expected the encoder mit_b0 to mit_b5 in {path / CONFIG}, got {encoder!a:.60}: "
            "another is no SegFormer's; use a model with one of these"
        )
    activation = content.get("activation")
    if activation not in (*_NO_ACTIVATION, *_ACTIVATIONS):
        raise CheckpointError(
            f"expected activation in {path / CONFIG} as null or one of {', '.join(_ACTIVATIONS)}, "
            f"got {activation!a:.60}; no other is supported"
        )


def _check_told(path: Path, content: Mapping[str, Any], made: Checkpoint) -> None:
    """What the configuration says of the network, against the weights."""
    sizes: SegFormerSizes = made.variant  # type: ignore[assignment]  # the family's own
    name = f"segformer-{content['encoder_name'].removeprefix(_ENCODER)}"
    named = SEGFORMERS.get(name)
    encoder = None if named is None else (named.widths, named.depths)
    told = {
        "classes": (content.get("classes", made.num_classes), made.num_classes),
        "decoder_segmentation_channels": (
            content.get("decoder_segmentation_channels", sizes.decoder_width),
            sizes.decoder_width,
        ),
        "encoder_name": (encoder, (sizes.widths, sizes.depths)),
    }
    for what, (said, found) in told.items():
        if said != found:
            raise CheckpointError(
                f"{path / CONFIG} says {what} {content.get(what)!a:.60}, and the weights beside it "
                f"have {found}; copy the folder again"
            )
