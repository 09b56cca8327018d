"""Write an adapted SegFormer as its source lies there: a file or a folder, whichever project's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats import adapted_file
from edaformer.families.segformer import adapted_folder
from edaformer.families.segformer.loader import READER

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for this family."""
    if checkpoint.path.is_dir():
        adapted_folder.save_adapted(checkpoint, state, record, path)
    else:
        adapted_file.save_adapted(checkpoint, state, record, path, READER)
