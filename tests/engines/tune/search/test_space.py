from __future__ import annotations

import pytest

from edaformer.engines.tune.search.space import Space, every_setting
from edaformer.errors import ISRError
from edaformer.isr import BASE, ISR


@pytest.mark.parametrize(
    ("size", "factors", "count"),
    [
        ((384, 480), (1, 2, 4), 3**7),
        ((64, 64), (1, 2, 4), 2**7),  # four times the trained ratios is more than the maps hold
        ((384, 480), (1, 2), 2**7),
        ((384, 480), (1,), 1),
    ],
)
def test_what_fits(size: tuple[int, int], factors: tuple[int, ...], count: int) -> None:
    settings = every_setting(size, factors)
    assert len(set(settings)) == count
    assert settings[0] == BASE
    for isr in settings:
        isr.check_fits(*size)


def test_an_input_too_small_for_base_is_refused() -> None:
    with pytest.raises(ISRError, match="larger than its"):
        every_setting((16, 16))


def test_space_knows_costs_and_each_place_alone() -> None:
    space = Space.of(every_setting((64, 64)), lambda isr: float(sum(isr.ratios)))
    assert space.cost[0] == sum(BASE.ratios)
    assert space.at([ISR.parse("16,4,2,1"), BASE]).tolist() == [
        space.index[ISR.parse("16,4,2,1")],
        0,
    ]
    alone = space.alone()
    assert len(alone) == 7
    assert ISR.parse("8,4,2,1-1,2,8") in alone


def test_features_are_zero_at_base_and_tell_all_settings_apart() -> None:
    features = Space.of(every_setting((384, 480)), lambda _: 0.0).features()
    assert features.shape == (2187, 7 * 2 + 21)
    assert not features[0].any()
    assert len({row.tobytes() for row in features}) == 2187
