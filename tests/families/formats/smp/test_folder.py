"""The encoders that a configuration can name, held against the packages' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edaformer.families.formats.smp.folder import ENCODER_NAMES
from edaformer.families.mit.sizes import ENCODERS, HEADS, RATIOS
from tests.families.smp import smp

MIT = [name for name in ENCODER_NAMES if name.startswith("mit_")]
PVT = [name for name in ENCODER_NAMES if name.startswith("tu-")]
Told = tuple[tuple[int, ...], ...]


def ours(name: str) -> Told:
    """Widths, depths, MLP ratios, heads, sequence reductions."""
    return (*ENCODERS[ENCODER_NAMES[name]], HEADS, RATIOS)


@pytest.mark.parametrize("name", MIT)
def test_mit(name: str) -> None:
    said = smp().encoders.encoders[name]["params"]
    wanted = ("embed_dims", "depths", "mlp_ratios", "num_heads", "sr_ratios")
    assert tuple(tuple(said[what]) for what in wanted) == ours(name)


@pytest.mark.parametrize("name", PVT)
def test_pvt(name: str) -> None:
    with torch.device("meta"):
        made = smp().Unet(name, encoder_weights=None).encoder.model
    stages = [getattr(made, f"stages_{at}").blocks for at in range(4)]

    def each(what: Any) -> tuple[int, ...]:
        return tuple(what(blocks[0]) for blocks in stages)

    widths = each(lambda block: block.attn.q.in_features)
    hidden = each(lambda block: block.mlp.fc1.out_features)
    assert (
        widths, tuple(map(len, stages)),
        tuple(n // width for n, width in zip(hidden, widths, strict=True)),
        each(lambda block: block.attn.num_heads),
        each(lambda block: 1 if block.attn.sr is None else block.attn.sr.stride[0]),
    ) == ours(name)  # fmt: skip


def test_all_of_them() -> None:
    assert (len(MIT), len(PVT)) == (6, 6)
