from __future__ import annotations

import pytest

from edaformer.errors import ISRError
from edaformer.families.edaformer.sizes import VARIANTS, Variant
from edaformer.families.table import count, count_params, fixed_layers, layers, place_layers
from edaformer.isr import ISR
from tests.tiny import TINY


@pytest.mark.parametrize("variant", [*VARIANTS.values(), TINY], ids=lambda v: v.name)
@pytest.mark.parametrize("isr", ["base", "paper", "32,16,8,2-4,8,16"])
@pytest.mark.parametrize("size", [(384, 480), (352, 500)])
def test_multiply_adds_are_those_counted(variant: Variant, isr: str, size: tuple[int, int]) -> None:
    made_of = layers(variant, 11, size, ISR.parse(isr))
    counted = count(variant, 11, size, ISR.parse(isr))
    assert sum(layer.macs * layer.times for layer in made_of) == counted.macs


def test_weights_are_those_counted_but_for_biases() -> None:
    made_of = layers(VARIANTS["T"], 19, (512, 512))
    weights = sum(layer.weights * layer.times for layer in made_of)
    assert weights == pytest.approx(count_params(VARIANTS["T"], 19), rel=0.01)


def test_traffic_of_a_layer() -> None:
    (attention,) = (layer for layer in place_layers(TINY, (64, 64), 0, 8)
                    if layer.name == "attention")  # fmt: skip
    queries, keys, channels = 16 * 16, 2 * 2, 16
    assert attention.macs == 2 * queries * keys * channels
    assert attention.traffic() == 2 * (2 * queries + keys) * channels
    assert attention.traffic(4) == 2 * attention.traffic()
    frame = fixed_layers(TINY, 5, (64, 64))[0]
    assert frame.traffic() == 3 * 64 * 64 * (1 + 2)  # uint8 in, FP16 out


@pytest.mark.parametrize("place", range(7))
def test_pooling_more_moves_less(place: int) -> None:
    base = ISR().ratios[place]
    once, twice = (
        sum(layer.traffic() * layer.times for layer in place_layers(TINY, (256, 256), place, r))
        for r in (2 * base, 4 * base)
    )
    assert twice < once


def test_a_ratio_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ISRError, match="larger than its"):
        layers(TINY, 5, (64, 64), ISR.parse("32,16,8,4"))
