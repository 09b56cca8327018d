"""Adapted weights under another project's names: what reading did, undone weight by weight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.families.adapted_weights import write_adapted
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats.file import Reader, fit
from edaformer.families.given import same_as
from edaformer.families.reading.weights import Weights, read_weights

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted


def save_adapted(
    checkpoint: Checkpoint,
    state: Mapping[str, Tensor],
    record: Adapted,
    path: Path,
    reader: Reader,
) -> None:
    """As ``families.table.save_adapted`` says, for a file; what is unused goes along."""
    read = read_weights(checkpoint.path, reader.anchors)
    tensors = as_theirs(checkpoint, read, state, reader)
    write_adapted(path, checkpoint.path, tensors, read.meta, record)


def as_theirs(
    checkpoint: Checkpoint, read: Weights, state: Mapping[str, Tensor], reader: Reader
) -> dict[str, Tensor]:
    """``state``, by our names, under the names, shapes and types of ``read``."""
    fitted = fit(checkpoint.path, read, same_as(checkpoint), reader)
    return {
        name: fitted.places[name].join(state, old) if name in fitted.places else old
        for name, old in read.tensors.items()
    }
