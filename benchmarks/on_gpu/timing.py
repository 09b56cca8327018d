"""The GPU's own seconds, and whole frames side by side; p10, p50 and p90 of all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from on_gpu.run import Run

_SPIN = 1 << 22  # cycles that the GPU waits for the host: 2 ms at 2 GHz
_MOST_SPIN = 1 << 28
_ROUNDS, _FRAMES, _WARM = 10, 20, 5  # of whole frames: rounds, and each contender's in one


def spread(times: list[float]) -> dict[str, float]:
    """p10, p50 and p90, and how many they are of."""
    p10, p50, p90 = (float(np.percentile(times, part)) for part in (10, 50, 90))
    return {"p10": p10, "p50": p50, "p90": p90, "count": len(times)}


def timed(run: Run, step: Callable[[], object], repeats: int = 50) -> dict[str, float]:
    """Seconds of a step: the GPU's own by CUDA events; on a CPU the clock's."""
    for _ in range(3 if run.dry else 10):
        step()
    if run.dry:
        return spread([_clock(step) for _ in range(3)])
    return spread(gpu_seconds(step, repeats, flush_bytes(run)))


def _clock(step: Callable[[], object]) -> float:
    before = time.perf_counter()
    step()
    return time.perf_counter() - before


def gpu_seconds(step: Callable[[], object], repeats: int, scratch_bytes: int) -> list[float]:
    """Seconds from a cold L2, without the host's part.

    Before each round the GPU overwrites more than its L2 holds, and then spins until the host has
    put the whole step on the stream. A round in which the host was late does not count, and the
    next one spins twice as long.
    """
    import torch

    scratch = torch.empty(scratch_bytes, dtype=torch.uint8, device="cuda")
    times: list[float] = []
    spin = _SPIN
    while len(times) < repeats:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        scratch.zero_()
        torch.cuda._sleep(spin)  # noqa: SLF001 - torch has no public one
        start.record()
        step()
        end.record()
        late = start.query()
        end.synchronize()
        if not late:
            times.append(start.elapsed_time(end) / 1e3)
        elif spin < _MOST_SPIN:
            spin *= 2
        else:
            raise RuntimeError("the step waits for the GPU, so its own time cannot be told")
    return times


def flush_bytes(run: Run) -> int:
    """What is overwritten before each timed step: twice the GPU's L2; nothing on a CPU."""
    if run.dry:
        return 0
    import torch

    return 2 * int(torch.cuda.get_device_properties(0).L2_cache_size)


def side_by_side(run: Run, frames: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
    """Wall seconds of whole frames: in each round every contender has its turn, the order turning.

    Returns:
        By contender its spread, with ``rounds``, each round's median.
    """
    rounds, count, warm = (2, 2, 1) if run.dry else (_ROUNDS, _FRAMES, _WARM)
    times: dict[str, list[list[float]]] = {name: [] for name in frames}
    names = list(frames)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            for _ in range(warm):
                frames[name]()
            times[name].append([_clock(frames[name]) for _ in range(count)])
    return {
        name: {**spread([t for turn in turns for t in turn]),
               "rounds": [statistics.median(turn) for turn in turns]}
        for name, turns in times.items()
    }  # fmt: skip
