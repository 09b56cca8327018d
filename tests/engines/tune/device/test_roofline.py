from __future__ import annotations

import pytest

from edaformer.engines.tune.device.devices import DEVICES
from edaformer.engines.tune.device.roofline import Ceilings, Roofline, memory_bytes, weights_bytes
from edaformer.engines.tune.search.space import every_setting
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.families.layers import Layer
from edaformer.families.table import layers
from edaformer.isr import BASE, ISR

T = VARIANTS["T"]
SIZE = (384, 480)


def test_a_layer_takes_the_longer_of_the_two() -> None:
    ceilings = Ceilings(macs_per_second=1000, bytes_per_second=100, value_bytes=2)
    busy = Layer("busy", macs=3000, weights=10, reads=10, writes=10)
    moving = Layer("moving", macs=100, weights=100, reads=50, writes=40, image_bytes=20, times=2)
    assert ceilings.seconds([busy]) == 3.0
    assert ceilings.seconds([moving]) == 2 * (2 * 190 + 20) / 100
    assert ceilings.seconds([busy, moving]) == 3.0 + 8.0


@pytest.mark.parametrize("isr", ["base", "paper", "32,16,8,4-4,8,16"])
def test_by_place_is_the_sum_over_all_layers(isr: str) -> None:
    ceilings = DEVICES["orin-nano"].ceilings
    made_of = layers(T, 11, SIZE, ISR.parse(isr))
    model = Roofline(T, 11, SIZE, ceilings)
    assert model.seconds(ISR.parse(isr)) == pytest.approx(ceilings.seconds(made_of))
    assert model.seconds(ISR.parse(isr)) == model.seconds(ISR.parse(isr))


def test_pooling_twice_what_is_pooled_never_takes_longer() -> None:
    model = Roofline(T, 11, SIZE, DEVICES["orin-nano"].ceilings)
    seconds = {isr.ratios: model.seconds(isr) for isr in every_setting(SIZE)}
    for ratios, taken in seconds.items():
        for place, (ratio, base) in enumerate(zip(ratios, BASE.ratios, strict=True)):
            twice = (*ratios[:place], 2 * ratio, *ratios[place + 1 :])
            if twice in seconds and ratio > 1 and base >= 1:
                assert seconds[twice] <= taken


def test_a_better_device_is_quicker() -> None:
    names = ("orin-nano", "orin-nano-super", "agx-orin", "thor", "h100")
    models = [Roofline(T, 11, SIZE, DEVICES[name].ceilings).seconds(BASE) for name in names]
    assert models == sorted(models, reverse=True)
    assert 1e-4 < models[0] < 1e-1


def test_memory() -> None:
    assert weights_bytes(T, 150) == 2 * 4_929_914
    small, large = (memory_bytes(T, 19, size, BASE) for size in (SIZE, (1024, 2048)))
    assert weights_bytes(T, 19) < small < large
    assert large > 2 * 3 * 1024 * 2048  # at least the normalised frame
