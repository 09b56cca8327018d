from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edaformer.engines.tune.search.prefixes import Prefixes
from edaformer.engines.tune.search.space import every_setting
from edaformer.families.feedformer.decoder import PooledCrossAttention
from edaformer.families.feedformer.network import FeedFormer
from edaformer.families.feedformer.sizes import FEEDFORMERS, FeedFormerSizes
from edaformer.families.table import count
from edaformer.isr import ISR
from tests.families.deployed import check_layers
from tests.tiny import FEEDFORMER, FEEDFORMER_CITY, tiny_feedformer

SIZES = [
    FEEDFORMERS["feedformer-b0"], FEEDFORMERS["feedformer-b0-city"],
    replace(FEEDFORMER_CITY, ratios=(4, 1, 1, 2), heads=(1, 1, 5, 2)),
]  # fmt: skip


def _isr(sizes: FeedFormerSizes, factor: int) -> ISR:
    return sizes.places.isr(tuple(factor * place.base for place in sizes.places.all))


@pytest.mark.parametrize("size", [(128, 160), (131, 218)])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_cost_is_what_pytorch_counts(
    sizes: FeedFormerSizes, factor: int, size: tuple[int, int]
) -> None:
    isr = _isr(sizes, factor)
    with torch.device("meta"):
        model = FeedFormer(sizes, 7, isr).eval()
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, 3, *size, device="meta"))
    counted = count(sizes, 7, size, isr)
    assert 2 * counted.macs == counter.get_total_flops()
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert [part.name for part in counted.parts][4:] == [
        "decoder c4", "decoder c3", "decoder c2", "fuse and classify",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "classes", "size", "millions", "gmacs"),
    [
        ("feedformer-b0", 150, (512, 512), 4.5, 7.8),
        ("feedformer-b2", 150, (512, 512), 29.1, 42.7),
    ],
)
def test_the_paper_s_table(
    name: str, classes: int, size: tuple[int, int], millions: float, gmacs: float
) -> None:
    """ADE20K; the paper counts to a digit less, and a little otherwise."""
    counted = count(FEEDFORMERS[name], classes, size)
    assert counted.params / 1e6 == pytest.approx(millions, rel=0.02)
    assert counted.gmacs == pytest.approx(gmacs, rel=0.03)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("factor", [1, 2])
def test_layers_are_those_of_the_rewritten_network(sizes: FeedFormerSizes, factor: int) -> None:
    size, isr = (192, 256), _isr(sizes, factor)
    with torch.device("meta"):
        model = FeedFormer(sizes, 7, isr).eval()
    check_layers(model, size)


@pytest.mark.parametrize("sizes", [FEEDFORMER, FEEDFORMER_CITY])
def test_logits_are_the_whole_model_s_to_the_bit(sizes: FeedFormerSizes) -> None:
    """A branch of the decoder reads two places: its ratios and theirs are remembered apart."""
    pixels = np.random.default_rng(0).standard_normal((1, 3, 128, 160)).astype(np.float32)
    whole = tiny_feedformer(sizes)
    shared = Prefixes(copy.deepcopy(whole), pixels)
    every = every_setting((128, 160), (1, 2), sizes.places)
    for isr in sorted(every, key=lambda isr: isr.ratios)[::5]:
        whole.set_isr(isr)
        with torch.inference_mode():
            expected = whole(torch.from_numpy(pixels)).numpy()[0]
        assert np.array_equal(shared.logits(isr), expected), isr


def test_odd_maps_of_pooled_queries_round_down() -> None:
    """The published code fails here; the last row and column get what is beside them."""
    attention = PooledCrossAttention(16, 8, heads=2, ratio=2).eval()
    x, source = torch.randn(1, 15, 16), torch.randn(1, 8, 8, 8)
    with torch.inference_mode():
        made = attention(x, (3, 5), source)
        assert made.shape == (1, 15, 16)
        assert attention.ask(x, (3, 5)).shape == (1, 2, 16)


def test_isr_changes_ratios_and_no_weight() -> None:
    model = tiny_feedformer()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    isr = ISR.parse("16,8,4,2-16,8,4", FEEDFORMER.places)
    model.set_isr(isr)
    assert model.isr == isr
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
