"""Write an adapted EDAFormer as its source was written: its format, its names, its numbers' types.

A published ``.pth`` stays one that the published code loads strictly: the unused ``conv_seg`` goes
along.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.families.adapted_weights import write_adapted
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import ANCHORS, our_name
from edaformer.families.reading.weights import read_weights

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for this family."""
    read = read_weights(checkpoint.path, ANCHORS)
    tensors = {
        name: state[our_name(name)].to(old.dtype).contiguous() if our_name(name) in state else old
        for name, old in read.tensors.items()
    }
    write_adapted(path, checkpoint.path, tensors, read.meta, record)
