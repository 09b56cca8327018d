"""Timing: warm-up until the rate is stable, slices of frames, a camera.

Warm-up rule: frames run in windows of at least half a second and three frames. The rate is stable
when the medians of the last three windows lie within 3 % of each other; after ``limit`` seconds it
is given up and the result is marked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WINDOW_SECONDS = 0.5
WINDOW_FRAMES = 3
STABLE_WINDOWS = 3
STABLE_SPREAD = 0.03

Frame = Callable[[int], object]  # processes the n-th image of the rotation, to its end


@dataclass(frozen=True)
class Warmup:
    """How long it took until frames took equally long."""

    frames: int
    seconds: float
    stable: bool


@dataclass(frozen=True)
class Latency:
    """Wall time of a frame, in seconds, over ``frames`` frames."""

    frames: int
    mean: float
    p50: float
    p90: float
    p99: float
    least: float
    most: float
    variation: float  # standard deviation over mean

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """The figures of these times; at least one."""
        times = np.asarray(seconds, np.float64)
        p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
        mean = float(times.mean())
        spread = float(times.std()) / mean if mean else 0.0
        return cls(len(times), mean, p50, p90, p99, float(times.min()), float(times.max()), spread)


@dataclass(frozen=True)
class Camera:
    """Frames that arrive at a fixed rate; whoever is busy takes the newest that has arrived."""

    rate: float  # frames a second
    arrived: int
    processed: int
    dropped: int  # never looked at: a newer one had arrived
    late: int  # finished after the next one had arrived
    worst_gap: float  # seconds between two results

    @property
    def missed(self) -> int:
        """Frames without a result by the time the next one arrived."""
        return self.dropped + self.late

    def to_json(self) -> dict[str, Any]:
        """All counts, ``worst_gap`` in seconds."""
        return {**vars(self), "missed": self.missed}


def warm_up(frame: Frame, limit: float) -> Warmup:
    """Run frames until they take equally long, or for ``limit`` seconds."""
    start, count, medians = time.perf_counter(), 0, list[float]()
    while True:
        times = run_slice(frame, WINDOW_SECONDS, first=count, least=WINDOW_FRAMES)
        count += len(times)
        medians.append(float(np.median(times)))
        last = medians[-STABLE_WINDOWS:]
        stable = len(last) == STABLE_WINDOWS and max(last) <= (1 + STABLE_SPREAD) * min(last)
        elapsed = time.perf_counter() - start
        if stable or elapsed >= limit:
            return Warmup(count, elapsed, stable)


def run_slice(frame: Frame, seconds: float, *, first: int = 0, least: int = 1) -> list[float]:
    """Wall times of frames, one after the other, for so long and at least so many."""
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < least or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        frame(first + len(times))
        times.append(time.perf_counter() - before)
    return times


def watch_camera(frame: Frame, rate: float, seconds: float) -> Camera:
    """Process frames as a camera delivers them: frame n exists from n / rate on."""
    start = time.perf_counter()
    arrived = max(2, math.floor(rate * seconds))
    done, late, last, finished = 0, 0, -1, list[float]()
    while last + 1 < arrived:
        now = time.perf_counter() - start
        newest = min(arrived - 1, math.floor(now * rate))
        if newest <= last:
            time.sleep(max(0.0, (last + 1) / rate - now))
            continue
        frame(newest)
        end = time.perf_counter() - start
        finished.append(end)
        done, late, last = done + 1, late + (end > (newest + 1) / rate), newest
    gaps = np.diff(finished) if len(finished) > 1 else np.zeros(1)
    return Camera(rate, arrived, done, arrived - done, late, float(gaps.max()))
