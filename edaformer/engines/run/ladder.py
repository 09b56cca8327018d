"""A ladder of engines: richer where there is time, poorer where deadlines are missed.

    with Ladder.load("tuning/ladder/ladder.json", deadline=0.033) as ladder:
        labels = ladder(frame)  # as an Engine is called

The rungs are one network at several ISR settings, the most accurate first; ``edaformer-tune
--ladder`` writes them. All are loaded, so that a step costs nothing.

Down, by one: when ``misses`` of the last ``window`` frames took longer than the deadline, or, every
``settle`` seconds, as long as the device throttles. Up, by one: when for ``hold`` seconds nothing
throttled and every frame left room, that is, would by the two rungs' known ratio have stayed below
``headroom`` of the deadline one rung higher. A step up that is taken back within twice the wait
that led to it doubles the next wait, to MOST_HOLDS ``hold`` at most; one that stands halves it. So
a steady load ends in one rung, and under a load that some rung can carry no more than ``reaction``
frames in a row are late.

Neither torch nor onnx is needed for plans, and importing this costs nothing.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edaformer.closing import Closing
from edaformer.engines.run.ladder_index import read_index
from edaformer.errors import InputError

__all__ = ["Ladder", "Rule", "Rung", "Step"]

MOST_HOLDS = 64
_WARM_UP = 3  # frames of each rung at loading; the last of as many again are timed
_log = logging.getLogger(__name__)
Labels = NDArray[np.uint8]


class Segmenter(Protocol):
    """What a rung runs: edaformer.engines.runtime.Engine, or anything called alike."""

    def __call__(self, image: Any, /) -> Any:
        """Labels of a frame."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True)
class Rung:
    """One engine, and how long a frame takes in it, in any unit that all rungs share."""

    name: str  # its ISR
    engine: Segmenter
    relative: float


@dataclass(frozen=True)
class Rule:
    """When to step; times in seconds."""

    deadline: float
    window: int = 10  # frames
    misses: int = 3  # late ones among them that lead down
    headroom: float = 0.8  # fraction of the deadline that a richer rung may be expected to take
    hold: float = 5.0
    settle: float = 1.0

    def __post_init__(self) -> None:
        if not self.deadline > 0:
            raise InputError(f"expected a deadline above 0 seconds, got {self.deadline:g}")
        if not 1 <= self.misses <= self.window:
            raise InputError(
                f"expected 1 to {self.window} misses in a window of {self.window} frames, got "
                f"{self.misses}"
            )
        if not 0 < self.headroom < 1:
            raise InputError(f"expected headroom between 0 and 1, got {self.headroom:g}")
        if not (self.hold > 0 and self.settle > 0):
            raise InputError(
                f"expected hold and settle above 0 seconds, got {self.hold:g} and {self.settle:g}"
            )


@dataclass(frozen=True)
class Step:
    """One change of rung."""

    at: float  # the clock's seconds
    before: str
    after: str
    reason: str


@dataclass
class Ladder(Closing):
    """Call it like an Engine; one thread at a time, as an Engine."""

    rungs: Sequence[Rung]  # the most accurate, and slowest, first
    rule: Rule
    throttled: Callable[[], bool] = lambda: False  # asked every ``settle`` seconds
    clock: Callable[[], float] = time.perf_counter
    steps: list[Step] = field(default_factory=list)
    _at: int = 0
    _frames: deque[float] = field(init=False)  # seconds of the last frames in this rung
    _room_since: float = field(init=False)  # the rung above would have been in time since then
    _raised_at: float | None = None  # the last step up, as long as it may have been a mistake
    _holds: int = 1  # how many ``hold`` a step up waits for
    _asked_at: float = field(init=False)
    _hot: bool = False
    _resources: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        if not self.rungs:
            raise InputError("expected at least one rung")
        speeds = [rung.relative for rung in self.rungs]
        if any(slow < quick for slow, quick in itertools.pairwise(speeds)):
            raise InputError("expected the rungs from the slowest to the quickest")
        self._frames = deque(maxlen=self.rule.window)
        self._room_since = self._asked_at = self.clock()

    @classmethod
    def load(
        cls,
        index: Path | str,
        *,
        deadline: float,
        throttled: Callable[[], bool] = lambda: False,
        open_rung: Callable[[Path], Segmenter] | None = None,
        **rule: Any,
    ) -> Ladder:
        """Open every rung of an index that ``edaformer-tune --ladder`` wrote, and time each.

        Args:
            index: ``ladder.json``; the artifacts lie beside it.
            deadline: seconds that a frame may take.
            throttled: whether the device throttles now; asked every ``settle`` seconds.
            open_rung: opens an artifact; None takes Engine for a plan, ONNX Runtime for ONNX.
            rule: window, misses, headroom, hold, settle, as Rule has them.

        Raises:
            ManifestError: if the index is damaged.
            InputError: if an artifact is not there or does not run here, or the rule is none.
            MissingError: if a package, GPU or driver is not here.
        """
        from edaformer.engines.run.labeller import open_labeller

        found, checked = read_index(Path(index)), Rule(deadline, **rule)
        with ExitStack() as stack:
            rungs = []
            for entry in found.rungs:
                engine = (open_rung or open_labeller)(entry.artifact)
                stack.callback(engine.close)
                rungs.append(Rung(entry.isr, engine, _time(engine, found.size)))
            made = cls(_slowest_first(rungs), checked, throttled)
            made._resources = stack.pop_all()
        return made

    @property
    def rung(self) -> Rung:
        """The one in use."""
        return self.rungs[self._at]

    @property
    def reaction(self) -> int:
        """Frames in which the ladder comes from the top to the bottom where all are late."""
        return self.rule.misses * (len(self.rungs) - 1)

    def __call__(self, image: Any) -> Any:
        """Labels of a frame, by the rung in use; then the next one's rung is decided."""
        start = self.clock()
        labels = self.rung.engine(image)
        now = self.clock()
        self._decide(now, now - start)
        return labels

    def close(self) -> None:
        """Close all rungs."""
        self._resources.close()

    def _decide(self, now: float, seconds: float) -> None:
        self._frames.append(seconds)
        late = sum(one > self.rule.deadline for one in self._frames)
        if not self._has_room(seconds):
            self._room_since = now
        wait = self.rule.hold * self._holds
        if self._raised_at is not None and now - self._raised_at > 2 * wait:
            self._holds, self._raised_at = max(self._holds // 2, 1), None
        if self._throttles(now):
            self._down(now, "the device throttles")
        elif late >= self.rule.misses:
            told = f"{late} of {len(self._frames)} frames over {self.rule.deadline * 1e3:.1f} ms"
            self._down(now, told)
        elif now - self._room_since >= wait:
            self._raised_at = now
            self._step(now, self._at - 1, f"{self._expected(seconds) * 1e3:.1f} ms expected of it")

    def _has_room(self, seconds: float) -> bool:
        """Whether a frame like this one would have been in time one rung higher."""
        if self._at == 0:
            return False
        return self._expected(seconds) < self.rule.headroom * self.rule.deadline

    def _expected(self, seconds: float) -> float:
        """What the next richer rung would have taken."""
        return seconds * self.rungs[self._at - 1].relative / self.rung.relative

    def _throttles(self, now: float) -> bool:
        """Whether to react to throttling now: on asking, every ``settle`` seconds."""
        if now - self._asked_at >= self.rule.settle:
            self._asked_at, self._hot = now, self.throttled()
            return self._hot
        if self._hot:
            self._room_since = now
        return False

    def _down(self, now: float, reason: str) -> None:
        if self._raised_at is not None:
            self._holds, self._raised_at = min(2 * self._holds, MOST_HOLDS), None
        self._room_since = now
        if self._at + 1 < len(self.rungs):
            self._step(now, self._at + 1, reason)

    def _step(self, now: float, to: int, reason: str) -> None:
        step = Step(now, self.rung.name, self.rungs[to].name, reason)
        _log.info("from %s to %s: %s", step.before, step.after, reason)
        self.steps.append(step)
        self._at, self._room_since = to, now
        self._frames.clear()


def _time(engine: Segmenter, size: tuple[int, int]) -> float:
    """Median seconds of a black frame, warmed up."""
    black = np.zeros((*size, 3), np.uint8)
    seconds = []
    for _ in range(2 * _WARM_UP):
        start = time.perf_counter()
        engine(black)
        seconds.append(time.perf_counter() - start)
    return median(seconds[_WARM_UP:])


def _slowest_first(rungs: list[Rung]) -> list[Rung]:
    """The rungs in their order; one that was timed quicker than the next counts as quick as it."""
    least = 0.0
    made = []
    for rung in reversed(rungs):
        least = max(least, rung.relative)
        made.append(replace(rung, relative=least))
    return made[::-1]
