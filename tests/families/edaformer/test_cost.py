from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edaformer.errors import ISRError
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import VARIANTS, Variant, get_variant
from edaformer.families.table import count, count_params
from edaformer.isr import BASE, ISR

T, B = VARIANTS["T"], VARIANTS["B"]


@pytest.mark.parametrize(
    ("variant", "size", "classes", "isr", "gmacs"),
    [  # counted on the published implementation with PyTorch's FLOP counter
        (T, (512, 512), 150, "base", 5.59),
        (T, (512, 512), 150, "paper", 4.66),
        (T, (512, 512), 150, "16,8,4,1", 4.45),
        (T, (1024, 2048), 19, "base", 151.30),
        (T, (1024, 2048), 19, "paper", 94.55),
        (T, (1024, 2048), 19, "16,8,4,2-2,4,8", 58.66),
        (B, (512, 512), 150, "base", 31.82),
        (B, (512, 512), 150, "paper", 29.26),
        (B, (1024, 2048), 19, "base", 604.52),
        (B, (1024, 2048), 19, "paper", 451.60),
    ],
)
def test_paper_table(
    variant: Variant, size: tuple[int, int], classes: int, isr: str, gmacs: float
) -> None:
    assert count(variant, classes, size, ISR.parse(isr)).gmacs == pytest.approx(gmacs, rel=0.005)


def test_the_headline_is_61_percent() -> None:
    base = count(T, 19, (1024, 2048), BASE)
    reduced = count(T, 19, (1024, 2048), ISR.parse("16,8,4,2-2,4,8"))
    assert round(100 * (1 - reduced.macs / base.macs)) == 61


@pytest.mark.parametrize(("variant", "classes", "millions"), [(T, 150, 4.93), (B, 150, 29.44)])
def test_parameters(variant: Variant, classes: int, millions: float) -> None:
    with torch.device("meta"):
        model = EDAFormer(variant, classes)
    assert count_params(variant, classes) == sum(p.numel() for p in model.parameters())
    assert count_params(variant, classes) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("size", [(64, 96), (90, 117)])
@pytest.mark.parametrize("isr", ["base", "16,8,2,1-2,2,4"])
def test_equals_a_measured_count_at_odd_sizes(size: tuple[int, int], isr: str) -> None:
    model = EDAFormer(T, 7, ISR.parse(isr)).eval()
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, 3, *size))
    assert 2 * count(T, 7, size, ISR.parse(isr)).macs == counter.get_total_flops()


def test_parts_add_up_and_attention_is_a_share() -> None:
    counted = count(T, 19, (1024, 2048))
    assert counted.macs == sum(part.macs for part in counted.parts)
    assert counted.attention_share == pytest.approx(0.809, abs=0.001)


def test_refuses_a_map_that_is_too_small() -> None:
    with pytest.raises(ISRError):
        count(T, 19, (28, 28))


def test_unknown_variant() -> None:
    with pytest.raises(Exception, match="expected a variant out of T, B, got 'X'"):
        get_variant("X")
