"""The contenders against the first: speed, labels; and what speaks against the figures."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.bench.lane import Lane
from edaformer.engines.bench.record import Comparison
from edaformer.engines.bench.state import State
from edaformer.engines.segmenters.segmenter import Images
from edaformer.manifest import Manifest

_BUSY = 0.05  # share of all cores: more than that taken by others marks the record
_CLOCK_SPREAD = 0.02  # GPU clocks further apart than that are not locked

Margins = Callable[[Images], NDArray[np.float32]]


def compare(lanes: list[Lane], on_step: Callable[[str], None]) -> tuple[Comparison, ...]:
    """Every other contender against the first."""
    first, *others = lanes
    if others:
        on_step("comparing labels")
    return tuple(_comparison(first, other, _margins(lanes)) for other in others)


def _margins(lanes: list[Lane]) -> Margins | None:
    """Top-2 margins by PyTorch in float32, where it is among the contenders on the CPU."""
    eager = [lane for lane in lanes if lane.contender.kind == "torch"]
    if not eager or eager[0].contender.device != "cpu":
        return None
    import torch

    from edaformer.engines.bench.torch_frame import make_frame, margins

    checkpoint = eager[0].contender.checkpoint
    assert checkpoint is not None
    frame = make_frame(checkpoint, eager[0].manifest, half=False)

    def of(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(margins(frame, torch.from_numpy(images)).numpy())

    return of


def _comparison(first: Lane, other: Lane, margins: Margins | None) -> Comparison:
    ratios = tuple(theirs / own for theirs, own in zip(other.rounds, first.rounds, strict=True))
    agreement, worst = None, None
    if _same_task(first.manifest, other.manifest):
        agreement, worst = _agreement(first, other, margins)
    return Comparison(
        name=other.contender.name,
        first=first.contender.name,
        ratios=ratios,
        ratio=median(ratios),
        agreement=agreement,
        worst_margin=worst,
    )


def _same_task(one: Manifest, other: Manifest) -> bool:
    return (one.size, one.checkpoint_sha256) == (other.size, other.checkpoint_sha256) and (
        (one.input.batch or 1) == (other.input.batch or 1)
    )


def _agreement(first: Lane, other: Lane, margins: Margins | None) -> tuple[float, float | None]:
    """Equal labels over all rotating images, and the largest margin where they differ."""
    equal = total = 0
    worst = 0.0
    for number, images in enumerate(first.frames):
        same = first.frame(number) == other.frame(number)
        equal, total = equal + int(same.sum()), total + same.size
        if margins is not None and not same.all():
            worst = max(worst, float(margins(images)[~same].max()))
    return equal / total, worst if margins is not None else None


def marks(
    before: State, after: State, others: float, clocks: list[float], lanes: list[Lane]
) -> tuple[str, ...]:
    """Why these figures may not come out the same again."""
    found = []
    if others > _BUSY:
        found.append(f"other processes took {others:.0%} of the cores meanwhile")
    found += [
        f"{lane.contender.name}'s rate was not stable after {lane.warmup.seconds:.0f} s of warm-up"
        for lane in lanes
        if not lane.warmup.stable
    ]
    if clocks and max(clocks) > (1 + _CLOCK_SPREAD) * min(clocks):
        found.append(f"GPU clocks were not locked: {min(clocks):.0f} to {max(clocks):.0f} MHz")
    limits = after.gpu_mhz_limits
    if limits is not None and limits[0] != limits[1]:
        found.append(f"GPU clocks may vary from {limits[0]:.0f} to {limits[1]:.0f} MHz: run "
                     "sudo jetson_clocks")  # fmt: skip
    reasons = sorted({*(before.throttling or ()), *(after.throttling or ())})
    if reasons:
        found.append(f"the GPU was throttled: {', '.join(reasons)}")
    if after.cpu_governor not in {None, "performance"}:
        found.append(f"the CPU's clock is governed by '{after.cpu_governor}', not 'performance'")
    return tuple(found)
