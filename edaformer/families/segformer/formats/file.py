"""The formats in which a SegFormer's files come, and the reader of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edaformer.families.formats.file import Make, Reader
from edaformer.families.formats.others import ENCODER
from edaformer.families.reading.keys import keys_of
from edaformer.families.segformer.formats.decided import decide
from edaformer.families.segformer.formats.glpn import GLPN, refuse_glpn
from edaformer.families.segformer.formats.mmseg import MMSEG
from edaformer.families.segformer.formats.nvlabs import NVLABS
from edaformer.families.segformer.formats.smp import SMP, SMP_PVT, refuse_other_encoder

FORMATS = (NVLABS, MMSEG, SMP, SMP_PVT)


def reader(network: Make) -> Reader:
    """Of the family whose networks ``network`` makes."""
    return Reader("SegFormer", FORMATS, _refuse, decide, network)


def owns_file(path: Path) -> bool:
    """Whether names in the file are a SegFormer's, or those of what is made of its encoder."""
    keys = keys_of(path)
    return any(form.known_by(keys) for form in FORMATS) or any(
        ENCODER.search(key) or GLPN.search(key) for key in keys
    )


def _refuse(path: Path, keys: Collection[str]) -> None:
    """What has its encoder or its decoder and is something else."""
    refuse_glpn(path, keys)
    refuse_other_encoder(path, keys)
