"""Checkpoints of such networks: files by their decoder's names, folders by their configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer import files
from edaformer.errors import require
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.convolutional import hugging
from edaformer.families.convolutional.formats import known_by, reader
from edaformer.families.convolutional.sizes import ConvolutionalSizes
from edaformer.families.convolutional.table import SMP_CLASSES
from edaformer.families.formats import adapted_file, adapted_folder
from edaformer.families.formats.file import load_file
from edaformer.families.formats.images import PREPROCESSOR
from edaformer.families.formats.smp.folder import (
    ADAPTED_KEY,
    class_of,
    is_smp_folder,
    load_smp_folder,
)
from edaformer.families.given import Given
from edaformer.families.reading import folder
from edaformer.families.reading.keys import keys_of
from edaformer.families.reading.training import ADAPTED
from edaformer.isr import ISR

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted
    from edaformer.families.convolutional.network import ConvolutionalNetwork


def owns(path: Path) -> bool:
    """Whether this is a file with a decoder's names, or a folder whose configuration says one."""
    if path.is_file():
        return known_by(keys_of(path))
    return hugging.is_upernet(path) or _is_smp(path)


def network(sizes: ConvolutionalSizes, num_classes: int, isr: ISR) -> ConvolutionalNetwork:
    """The network of these sizes, freshly initialised; what imports PyTorch."""
    from edaformer.families.convolutional.network import ConvolutionalNetwork

    return ConvolutionalNetwork(sizes, num_classes, isr)


_READER = reader(network)


def load(path: Path, given: Given) -> Checkpoint:
    """Read and check a file or a folder; nothing in it is executed.

    Raises:
        CheckpointError: if it is no complete, sound network of a decoder and an encoder here.
        InputError: if it does not say how many heads it has.
        MissingError: without torch (or safetensors, where it is one).
    """
    require("torch", "export")
    if path.is_file():
        return load_file(path, given, _READER)
    if _is_smp(path):
        return load_smp_folder(path, given, _READER, sha256(path), SMP_CLASSES)
    return hugging.load(path, given, _READER, sha256(path))


def sha256(path: Path) -> str:
    """A file's own; of a folder, that of what ``sha256sum`` prints of the files that matter."""
    if path.is_file():
        return files.sha256(path)
    return folder.sha256(path, hugging.CONFIG, PREPROCESSOR)


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for this family."""
    if checkpoint.path.is_dir():
        key = ADAPTED_KEY if _is_smp(checkpoint.path) else ADAPTED
        adapted_folder.save_adapted(checkpoint, state, record, path, _READER, key=key)
    else:
        adapted_file.save_adapted(checkpoint, state, record, path, _READER)


def _is_smp(path: Path) -> bool:
    """Whether a folder is segmentation_models_pytorch's, of a class of these."""
    return is_smp_folder(path) and class_of(path) in {one.name for one in SMP_CLASSES}
