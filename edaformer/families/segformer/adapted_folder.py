"""Write an adapted SegFormer as its source lies there: a folder of Hugging Face's, or of smp's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats import adapted_folder
from edaformer.families.formats.smp.folder import ADAPTED_KEY, is_smp_folder
from edaformer.families.reading import folder
from edaformer.families.reading.training import ADAPTED
from edaformer.families.segformer.loader import READER
from edaformer.families.segformer.names import ANCHORS, Names

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted
    from edaformer.families.segformer.sizes import SegFormerSizes


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for a folder."""
    source = checkpoint.path
    if is_smp_folder(source):
        adapted_folder.save_adapted(checkpoint, state, record, path, READER, key=ADAPTED_KEY)
        return
    sizes: SegFormerSizes = checkpoint.variant  # type: ignore[assignment]  # the family's own
    names = Names(sizes)
    tensors = {
        name: state[names.ours(name)].to(old.dtype).contiguous()
        for name, old in folder.read_folder(source, ANCHORS).items()
    }
    adapted_folder.write_adapted_folder(source, tensors, ADAPTED, record, path)
