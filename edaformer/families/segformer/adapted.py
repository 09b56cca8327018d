"""Write an adapted SegFormer as its source lies there: a file or a folder, whichever project's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.families import adapted_weights
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats import adapted_file
from edaformer.families.segformer import adapted_folder
from edaformer.families.segformer.loader import READER
from edaformer.files import check_new_folder

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted


def check_output(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse what cannot be written, before any work is done for it.

    Raises:
        InputError: naming the path and what to do.
    """
    if checkpoint.path.is_dir():
        check_new_folder(path)
    else:
        adapted_weights.check_output(checkpoint, path)


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for this family."""
    if checkpoint.path.is_dir():
        adapted_folder.save_adapted(checkpoint, state, record, path)
    else:
        adapted_file.save_adapted(checkpoint, state, record, path, READER)
