from __future__ import annotations

import pytest

from edaformer.engines.tune.device.devices import get_device
from edaformer.engines.tune.device.modelled import model_frame
from edaformer.engines.tune.device.roofline import Roofline, memory_bytes
from edaformer.errors import InputError
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.isr import BASE, PAPER

T = VARIANTS["T"]
SIZE = (384, 480)


def test_a_frame_takes_what_the_roofline_says() -> None:
    made = model_frame(T, 11, SIZE, PAPER, "orin-nano")
    roofline = Roofline(T, 11, SIZE, get_device("orin-nano").ceilings)
    assert made.seconds == roofline.seconds(PAPER)
    assert made.seconds_base == roofline.seconds(BASE) > made.seconds
    assert made.memory_bytes == memory_bytes(T, 11, SIZE, PAPER)
    assert made.to_json()["frames_per_second"] == pytest.approx(1 / made.seconds)


def test_it_says_that_it_is_a_bound_and_where_the_rates_are_from() -> None:
    facts = dict(model_frame(T, 11, SIZE, PAPER, "rtx-4070").facts)
    assert "or more at 16,8,2,1-2,4,8, at base " in str(facts["a frame takes"])
    assert str(facts["frame rate"]).endswith(" a second at most")
    assert "466 AI TOPS" in str(facts["rates from"])
    assert "no GPU has confirmed it" in str(facts["trust"])
    at_base = dict(model_frame(T, 11, SIZE, BASE, "rtx-4070").facts)
    assert "at base" not in str(at_base["a frame takes"])


def test_a_larger_frame_takes_longer_and_a_faster_device_less() -> None:
    small, large = (model_frame(T, 11, size, BASE, "t4") for size in (SIZE, (1024, 2048)))
    assert large.seconds > 5 * small.seconds
    assert model_frame(T, 11, SIZE, BASE, "h100").seconds < small.seconds


def test_this_machine_is_not_modelled() -> None:
    with pytest.raises(InputError, match=r"expected --device as one of orin-nano, .*; got 'this'"):
        model_frame(T, 11, SIZE, BASE, "this")
