"""SegFormer's checkpoints: Hugging Face folders here, and what other projects write in formats/.

A SegformerForSemanticSegmentation folder of Hugging Face's is config.json and safetensors. Weights
go by their published names or by transformers' current ones; transformers itself is not needed,
nothing is fetched and nothing is executed. Classes, normalisation and resizing are the folder's
own, and an adapter beside the model is merged. Loading is strict, as for EDAFormer: what is
missing, unknown, misshapen or not finite is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edaformer import files
from edaformer.errors import CheckpointError, require
from edaformer.families.checkpoint import Checkpoint, Coverage, misfits
from edaformer.families.formats.file import class_notes, load_file
from edaformer.families.formats.images import PREPROCESSOR, read_preprocessing
from edaformer.families.formats.smp.folder import is_smp_folder, load_smp_folder
from edaformer.families.given import Given
from edaformer.families.reading import folder
from edaformer.families.reading.adapter import adapted
from edaformer.families.reading.prefixes import renamed
from edaformer.families.segformer.config import CONFIG, read_config
from edaformer.families.segformer.formats.file import owns_file, reader
from edaformer.families.segformer.formats.smp import CLASS
from edaformer.families.segformer.names import ANCHORS, Names
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.isr import ISR
from edaformer.printable import in_one_line

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.segformer.network import SegFormer


def owns(path: Path) -> bool:
    """Whether this is a folder with a model's configuration or an adapter's, or a file of its."""
    if path.is_file():
        return owns_file(path)
    return (path / CONFIG).is_file() or (path / folder.ADAPTER).is_file()


def network(sizes: SegFormerSizes, num_classes: int, isr: ISR) -> SegFormer:
    """The network of these sizes, freshly initialised; what imports PyTorch."""
    from edaformer.families.segformer.network import SegFormer

    return SegFormer(sizes, num_classes, isr)


READER = reader(network)


def load(path: Path, given: Given) -> Checkpoint:
    """Read and check a folder or a file, whichever project wrote it.

    Raises:
        CheckpointError: if it holds no complete, sound SegFormer for semantic segmentation.
        InputError: if its sizes or its normalisation are none that are supported, or it does not
            say how many heads it has.
        MissingError: without torch or safetensors.
    """
    require("torch", "export")
    if path.is_file():
        return load_file(path, given, READER)
    if not (path / CONFIG).is_file():
        raise CheckpointError(
            f"{path} is an adapter without its base model; put it beside the model's {CONFIG} and "
            f"{folder.WEIGHTS}, or merge it: model.merge_and_unload().save_pretrained(...)"
        )
    if is_smp_folder(path):
        return load_smp_folder(path, given, READER, sha256(path), (CLASS,))
    given.refuse_said(str(path), f"its {CONFIG} says it")
    config, images = read_config(path), read_preprocessing(path)
    names = Names(config.sizes)
    state = renamed(path, folder.read_folder(path, ANCHORS), names.ours)
    _check(path, state, config.sizes, config.num_classes)
    state = adapted(path, state, names.ours)
    _check(path, state, config.sizes, config.num_classes)
    return Checkpoint(
        path=path,
        sha256=sha256(path),
        variant=config.sizes,
        num_classes=config.num_classes,
        network=network,
        coverage=Coverage(used=len(state), left_over=()),
        classes=config.classes,
        input_size=images.size,
        normalisation=images.normalisation,
        resize=images.resize,
        reduced_labels=images.reduced_labels,
        origins=images.origins(f"id2label of {CONFIG}"),
        notes=(*config.notes, *class_notes(config.num_classes)),
        adapted=config.adapted,
        format="Hugging Face",
        state={k: v.float() if v.is_floating_point() else v for k, v in state.items()},
    )


def sha256(path: Path) -> str:
    """A file's own; of a folder, that of what ``sha256sum`` prints of the files that matter."""
    if path.is_file():
        return files.sha256(path)
    return folder.sha256(path, CONFIG, PREPROCESSOR)


def _check(path: Path, state: dict[str, Tensor], sizes: SegFormerSizes, num_classes: int) -> None:
    """Refuse whatever would not load strictly, or would load and compute nonsense."""
    import torch

    if sum(sizes.depths) > len(state):  # before that many are built
        raise CheckpointError(
            f"the weights in {path} do not fit its {CONFIG}: {sum(sizes.depths)} blocks and "
            f"{len(state)} weights; use a complete folder of SegformerForSemanticSegmentation"
        )
    with torch.device("meta"):
        expected = network(sizes, num_classes, sizes.places.base).state_dict()
    names = Names(sizes)
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    problems = {
        "missing": [names.current(key) for key in expected.keys() - state.keys() - optional],
        "unknown": [in_one_line(key) for key in state.keys() - expected.keys()],
        "wrongly shaped": [
            f"{names.current(key)} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in state and state[key].shape != value.shape
        ],
        "not finite": [
            names.current(key) for key, value in state.items() if not torch.isfinite(value).all()
        ],
    }
    if found := misfits({what: sorted(keys) for what, keys in problems.items()}):
        raise CheckpointError(
            f"the weights in {path} do not fit its {CONFIG}: {found}; use a complete "
            "folder of SegformerForSemanticSegmentation"
        )
