"""FeedFormer's checkpoints: the release's ``.pth`` files, or safetensors under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.errors import require
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.feedformer.format import owns_file, reader
from edaformer.families.feedformer.sizes import FeedFormerSizes
from edaformer.families.formats import adapted_file
from edaformer.families.formats.file import load_file
from edaformer.families.given import Given
from edaformer.files import sha256
from edaformer.isr import ISR

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted
    from edaformer.families.feedformer.network import FeedFormer

__all__ = ["load", "network", "owns", "save_adapted", "sha256"]


def owns(path: Path) -> bool:
    """Whether this is a file with the decoder's names."""
    return path.is_file() and owns_file(path)


def network(sizes: FeedFormerSizes, num_classes: int, isr: ISR) -> FeedFormer:
    """The network of these sizes, freshly initialised; what imports PyTorch."""
    from edaformer.families.feedformer.network import FeedFormer

    return FeedFormer(sizes, num_classes, isr)


_READER = reader(network)


def load(path: Path, given: Given) -> Checkpoint:
    """Read and check a file; nothing in it is executed.

    Raises:
        CheckpointError: if it is no complete, sound FeedFormer.
        InputError: if it does not say how many heads it has.
        MissingError: without torch (or safetensors, where it is one).
    """
    require("torch", "export")
    return load_file(path, given, _READER)


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for this family."""
    adapted_file.save_adapted(checkpoint, state, record, path, _READER)
