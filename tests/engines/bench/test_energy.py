"""Energy of stretches, from a rail that is read and from a counter."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from edaformer.engines.bench.energy import EnergyMeter
from edaformer.engines.bench.state import Machine

WATTS = 10.0


def make_meter() -> EnergyMeter:
    """On a machine whose rail takes the same power all the time."""
    rail = SimpleNamespace(joules=lambda: None, rail_power=lambda: WATTS, energy_source=None)
    return EnergyMeter(rail)  # type: ignore[arg-type]  # what it uses of a Machine


def stretch(meter: EnergyMeter, seconds: float) -> tuple[float, float]:
    """How long it was at least, and at most."""
    outer = time.perf_counter()
    with meter:
        inner = time.perf_counter()
        time.sleep(seconds)
        least = time.perf_counter() - inner
    return least, time.perf_counter() - outer


@pytest.mark.parametrize("seconds", [0.29, 0.02])  # five samples and a rest; a rest alone
def test_what_the_end_cuts_off_is_counted(seconds: float) -> None:
    meter = make_meter()
    spans = [stretch(meter, seconds) for _ in range(3)]
    assert meter.joules is not None
    assert WATTS * sum(least for least, _ in spans) <= meter.joules
    assert meter.joules <= WATTS * sum(most for _, most in spans)


def test_a_meter_is_none_only_where_nothing_tells() -> None:
    dark = SimpleNamespace(joules=lambda: None, rail_power=lambda: None, energy_source=None)
    assert EnergyMeter(dark).joules is None  # type: ignore[arg-type]
    assert make_meter().joules == 0
    assert isinstance(EnergyMeter(Machine()).machine, Machine)
