from __future__ import annotations

import pytest

from edaformer.engines.tune.search.setting import (
    InEightBits,
    Setting,
    isr_of,
    key_of,
    parse_setting,
    parts_of,
)
from edaformer.engines.tune.search.space import Space
from edaformer.errors import InputError
from edaformer.isr import BASE, ISR

PAPER = ISR.parse("paper")
EIGHT = InEightBits(PAPER, "int8", ("attention", "mlp"), "0123abcd")


def test_a_setting_is_read_as_it_was_written() -> None:
    for setting in (BASE, PAPER, EIGHT):
        assert parse_setting(key_of(setting), BASE.places) == setting
    assert str(EIGHT) == "16,8,2,1-2,4,8 int8 attention+mlp"
    assert key_of(EIGHT) == f"{EIGHT} 0123abcd"
    assert (isr_of(EIGHT), parts_of(EIGHT)) == (PAPER, ("attention", "mlp"))
    assert (isr_of(PAPER), parts_of(PAPER)) == (PAPER, ())


@pytest.mark.parametrize(
    "text",
    ["", "8,4,2,1-1,2,4 int8 mlp", "8,4,2,1-1,2,4 int4 mlp x", "8,4,2,1-1,2,4 int8 roof x",
     "8,4,2,1-1,2,4 int8 mlp x y"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(InputError):
        parse_setting(text, BASE.places)


def test_parts_are_a_dimension_of_the_space() -> None:
    mlp = InEightBits(BASE, "int8", ("mlp",), "x")
    both = InEightBits(ISR.parse("16,4,2,1"), "int8", ("mlp",), "x")
    settings: tuple[Setting, ...] = (BASE, ISR.parse("16,4,2,1"), mlp, both, EIGHT)
    space = Space.of(settings, lambda one: len(parts_of(one)))
    assert space.alone() == settings[1:3]
    features = space.features()
    assert not features[0].any()  # base is what a drop is against
    assert (features[2] != features[0]).sum() == 1
    assert features[3].tolist() == (features[1] + features[2]).tolist()
