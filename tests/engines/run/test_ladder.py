"""The ladder against synthetic loads: a clock that frames alone move."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaformer.engines.run import ladder as module
from edaformer.engines.run.ladder import Ladder, Rule, Rung
from edaformer.errors import InputError
from tests.ladders import index

DEADLINE = 0.030
SPEEDS = (1.0, 0.7, 0.5)  # relative, the most accurate first
Load = Callable[[float], float]  # seconds a frame takes in the first rung, at a time


@dataclass
class Machine:
    """Engines whose frames take as long as the load says."""

    load: Load
    now: float = 0.0
    hot: Callable[[float], bool] = lambda _: False
    told: list[tuple[float, float, str]] = field(default_factory=list)  # start, seconds, rung

    def ladder(self, speeds: tuple[float, ...] = SPEEDS, **rule: Any) -> Ladder:
        rungs = [Rung(f"rung {at}", Engine(self, at, speed), SPEEDS[at])
                 for at, speed in enumerate(speeds)]  # fmt: skip
        throttled = lambda: self.hot(self.now)  # noqa: E731
        return Ladder(rungs, Rule(DEADLINE, **rule), throttled, lambda: self.now)

    def run(self, ladder: Ladder, seconds: float, period: float = 1 / 30) -> None:
        """A camera that gives a frame every ``period``."""
        end = self.now + seconds
        while self.now < end:
            start = self.now
            ladder(np.zeros((2, 2, 3), np.uint8))
            self.now = max(self.now, start + period)


@dataclass
class Engine:
    machine: Machine
    at: int
    speed: float
    closed: bool = False

    def __call__(self, image: Any) -> Any:
        start = self.machine.now
        seconds = self.machine.load(start) * self.speed
        self.machine.now += seconds
        self.machine.told.append((start, seconds, f"rung {self.at}"))
        return image[..., 0]

    def close(self) -> None:
        self.closed = True


def late_in_a_row(machine: Machine) -> int:
    most = row = 0
    for _, seconds, _ in machine.told:
        row = row + 1 if seconds > DEADLINE else 0
        most = max(most, row)
    return most


def test_labels_are_the_rung_s() -> None:
    ladder = Machine(lambda _: 0.01).ladder()
    image = np.full((4, 5, 3), 7, np.uint8)
    assert np.array_equal(ladder(image), np.full((4, 5), 7))


def test_a_light_load_never_steps() -> None:
    machine = Machine(lambda _: 0.02)
    ladder = machine.ladder()
    machine.run(ladder, 60)
    assert ladder.steps == []
    assert ladder.rung.name == "rung 0"


def test_an_overload_is_answered_within_the_reaction_time() -> None:
    machine = Machine(lambda now: 0.02 if now < 10 else 0.055)  # only the last rung carries it
    ladder = machine.ladder()
    machine.run(ladder, 60)
    assert ladder.rung.name == "rung 2"
    assert [(step.before, step.after) for step in ladder.steps] == [
        ("rung 0", "rung 1"), ("rung 1", "rung 2"),
    ]  # fmt: skip
    assert late_in_a_row(machine) <= ladder.reaction == 6
    late = sum(seconds > DEADLINE for _, seconds, _ in machine.told)
    assert late == ladder.reaction


def test_it_comes_back_up_when_the_load_goes() -> None:
    machine = Machine(lambda now: 0.055 if 10 < now < 20 else 0.02)
    ladder = machine.ladder()
    machine.run(ladder, 60)
    assert [step.after for step in ladder.steps] == ["rung 1", "rung 2", "rung 1", "rung 0"]
    first_up = ladder.steps[2]
    assert 20 + 4.9 < first_up.at < 20 + 6  # hold, 5 s, and no sooner


def test_no_step_up_that_would_not_hold() -> None:
    machine = Machine(lambda _: 0.035)  # rung 1 takes 24.5 ms, rung 0 would take 35
    ladder = machine.ladder()
    machine.run(ladder, 600)
    assert [step.after for step in ladder.steps] == ["rung 1"]


def test_a_wrong_ratio_does_not_make_it_oscillate() -> None:
    """Rung 0 takes twice what the index says: going up looks possible and never is."""
    machine = Machine(lambda _: 0.02)
    ladder = machine.ladder(speeds=(2.0, 0.7, 0.5))
    machine.run(ladder, 3600)
    ups = [step.at for step in ladder.steps if step.after == "rung 0"]
    assert len(ups) <= 18  # 5, 10, 20 ... 320 s apart, and every 320 s from then on
    gaps = np.diff(ups)
    assert all(later >= earlier * 0.99 for earlier, later in itertools.pairwise(gaps))
    assert late_in_a_row(machine) <= 3


def test_throttling_leads_down_and_keeps_it_there() -> None:
    machine = Machine(lambda _: 0.01, hot=lambda now: 5 < now < 30)
    ladder = machine.ladder()
    machine.run(ladder, 60)
    down, up = ladder.steps[:2], ladder.steps[2:]
    assert [step.reason for step in down] == ["the device throttles"] * 2
    assert down[1].at - down[0].at >= 1  # one a settle
    assert up[0].at >= 30 + 4
    assert ladder.rung.name == "rung 0"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_load_no_row_of_late_frames_is_longer_than_the_reaction(seed: int) -> None:
    """Loads that jump at random, all such that the last rung can carry them."""
    dice = random.Random(seed)
    jumps = sorted(dice.uniform(0, 300) for _ in range(dice.randrange(1, 20)))
    levels = [dice.uniform(0.005, 0.058) for _ in range(len(jumps) + 1)]

    def load(now: float) -> float:
        return levels[sum(jump <= now for jump in jumps)] * dice.uniform(0.97, 1.03)

    machine = Machine(load)
    ladder = machine.ladder()
    machine.run(ladder, 300)
    assert late_in_a_row(machine) <= ladder.reaction
    assert len(ladder.steps) <= 4 * (len(jumps) + 1)  # two down, two up, for each level


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_noisy_load_ends_in_one_rung(seed: int) -> None:
    dice = random.Random(seed)
    level = dice.uniform(0.005, 0.058)
    machine = Machine(lambda _: level * dice.uniform(0.9, 1.1))
    ladder = machine.ladder()
    machine.run(ladder, 900)
    assert sum(step.at > 300 for step in ladder.steps) <= 4


def test_every_step_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(lambda _: 0.035)
    with caplog.at_level(logging.INFO, logger=module.__name__):
        machine.run(machine.ladder(), 1)
    assert caplog.messages == ["from rung 0 to rung 1: 3 of 3 frames over 30.0 ms"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"deadline": 0}, "a deadline above 0 seconds, got 0"),
        ({"deadline": 1, "misses": 11}, "1 to 10 misses in a window of 10 frames, got 11"),
        ({"deadline": 1, "headroom": 1}, "headroom between 0 and 1, got 1"),
        ({"deadline": 1, "hold": 0}, "hold and settle above 0 seconds, got 0 and 1"),
    ],
)
def test_a_rule_that_is_none(rule: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Rule(**rule)  # type: ignore[arg-type]


def test_rungs_come_slowest_first() -> None:
    engine = Engine(Machine(lambda _: 0), 0, 1)
    with pytest.raises(InputError, match="from the slowest to the quickest"):
        Ladder([Rung("a", engine, 1), Rung("b", engine, 2)], Rule(1))
    with pytest.raises(InputError, match="at least one rung"):
        Ladder([], Rule(1))


def test_loading_opens_and_times_all_and_closing_closes_all(tmp_path: Path) -> None:
    opened: list[Engine] = []

    def open_rung(path: Path) -> Engine:
        opened.append(Engine(Machine(lambda _: 0), len(opened), 1))
        return opened[-1]

    with Ladder.load(index(tmp_path), deadline=1, open_rung=open_rung, hold=2) as ladder:
        assert [rung.name for rung in ladder.rungs] == ["8,4,2,1-1,2,4", "16,8,2,1-2,4,8"]
        assert all(rung.relative > 0 for rung in ladder.rungs)
        assert ladder.rule == Rule(1, hold=2)
        assert [len(engine.machine.told) for engine in opened] == [6, 6]
    assert all(engine.closed for engine in opened)


def test_what_was_opened_is_closed_when_a_rung_fails(tmp_path: Path) -> None:
    opened: list[Engine] = []

    def open_rung(path: Path) -> Engine:
        if opened:
            raise InputError("does not run here")
        opened.append(Engine(Machine(lambda _: 0), 0, 1))
        return opened[0]

    with pytest.raises(InputError, match="does not run here"):
        Ladder.load(index(tmp_path), deadline=1, open_rung=open_rung)
    assert opened[0].closed


def test_a_rung_timed_quicker_than_the_next_counts_as_quick_as_it() -> None:
    engine = Engine(Machine(lambda _: 0), 0, 1)
    rungs = [Rung(str(at), engine, seconds) for at, seconds in enumerate((5, 2, 3))]
    assert [rung.relative for rung in module._slowest_first(rungs)] == [5, 3, 3]
