from __future__ import annotations

import itertools

import numpy as np
import pytest

from edaformer.engines.bench import timing
from edaformer.engines.bench.timing import Latency, run_slice, warm_up, watch_camera


class Clock:
    """Time that passes only where the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 1e-9  # never early


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def test_latency_by_hand() -> None:
    made = Latency.of([0.1] * 90 + [0.2] * 10)
    assert (made.frames, made.p50, made.least, made.most) == (100, 0.1, 0.1, 0.2)
    assert made.mean == pytest.approx(0.11)
    assert made.p99 == pytest.approx(0.2)
    assert made.variation == pytest.approx(0.03 / 0.11)


def test_a_slice_counts_on_and_keeps_its_time(clock: Clock) -> None:
    seen: list[int] = []

    def frame(number: int) -> None:
        seen.append(number)
        clock.now += 0.3

    assert run_slice(frame, 1, first=5) == pytest.approx([0.3] * 4)
    assert seen == [5, 6, 7, 8]
    assert len(run_slice(frame, 0, least=3)) == 3


def test_warm_up_ends_when_three_windows_agree(clock: Clock) -> None:
    costs = itertools.chain([1.0, 1.0, 1.0, 0.5, 0.5, 0.5], itertools.repeat(0.2))

    def frame(_: int) -> None:
        clock.now += next(costs)

    made = warm_up(frame, limit=60)
    assert made.stable
    assert made.frames == 3 + 3 + 3 * 3  # two windows that still sped up, three that agree


def test_warm_up_gives_up_and_says_so(clock: Clock) -> None:
    costs = itertools.cycle([0.1] * 5 + [0.3] * 5)

    def frame(_: int) -> None:
        clock.now += next(costs)

    made = warm_up(frame, limit=5)
    assert not made.stable
    assert made.seconds >= 5


def test_a_camera_that_is_kept_up_with(clock: Clock) -> None:
    def frame(_: int) -> None:
        clock.now += 0.05

    made = watch_camera(frame, 10, 2)
    assert (made.arrived, made.processed, made.dropped, made.late) == (20, 20, 0, 0)
    assert made.worst_gap == pytest.approx(0.1, abs=1e-3)


def test_a_camera_that_is_not(clock: Clock) -> None:
    """0.25 s a frame at 10 a second: the newest that has arrived is taken, others are dropped."""
    taken: list[int] = []

    def frame(number: int) -> None:
        taken.append(number)
        clock.now += 0.25

    made = watch_camera(frame, 10, 2)
    assert made.arrived == 20
    assert (made.processed, made.late) == (len(taken), len(taken))
    assert made.dropped == 20 - len(taken)
    assert made.missed == 20
    assert taken == sorted(set(taken))
    assert taken[:3] == [0, 2, 5]
    assert made.worst_gap == pytest.approx(0.25)


def test_percentiles_are_numpy_s() -> None:
    times = np.random.default_rng(0).random(101)
    assert Latency.of(list(times)).p90 == np.percentile(times, 90)
