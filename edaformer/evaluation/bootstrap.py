"""How sure a difference is: a bootstrap over images whose memory does not grow with them.

Poisson bootstrap (Hanley and MacGibbon 2006; Chamandy et al. 2012): instead of drawing the images
anew for every replicate, each image enters each replicate Poisson(1) times as it comes by, so only
the replicates' sums are kept. What is paired stays paired, since one weight counts for all of an
image's figures. The seed is fixed: the same images give the same interval.

What an image weighs is a function of its index alone, and the sums are of integers far below 2^53,
which float64 adds exactly: images may come in any order and in any parts, and no bit changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

REPLICATES = 1000
LEVEL = 0.95
_SEED = 20240717
_BLOCK = 64  # images whose weights are drawn at once
_KEPT = 2  # blocks kept: images that come nearly in order are on either side of one border

Interval = tuple[float, float]


class Weights:
    """How often each image enters each replicate, by the image's index.

    The stream is drawn from one image to the next, as it always was; where it stands is kept once
    a block, 2.5 KB, so that any image's part of it can be drawn again.
    """

    def __init__(self) -> None:
        # its stream is frozen (NEP 19), a Generator's is not: intervals outlive NumPy's versions
        self._random = np.random.RandomState(_SEED)
        self._states = [self._random.get_state()]  # before each block
        self._blocks: dict[int, NDArray[np.int64]] = {}  # the last used ones, the latest last

    def of(self, index: int) -> NDArray[np.int64]:
        """Of one image, (REPLICATES,)."""
        number, place = divmod(index, _BLOCK)
        block = self._blocks.pop(number, None)
        if block is None:
            block = self._draw(number)
        self._blocks[number] = block
        while len(self._blocks) > _KEPT:
            del self._blocks[next(iter(self._blocks))]
        weights: NDArray[np.int64] = block[place]
        return weights

    def _draw(self, number: int) -> NDArray[np.int64]:
        """(_BLOCK, REPLICATES)."""
        first = min(number, len(self._states) - 1)
        self._random.set_state(self._states[first])
        for block in range(first, number + 1):
            drawn: NDArray[np.int64] = self._random.poisson(1.0, (_BLOCK, REPLICATES))
            if block + 1 == len(self._states):
                self._states.append(self._random.get_state())
        return drawn


@dataclass
class Bootstrap:
    """Sums of a vector of figures over images, in many replicates at once."""

    length: int  # figures an image
    images: int = 0
    sums: NDArray[np.float64] = field(init=False)  # (REPLICATES, length)
    counts: NDArray[np.int64] = field(init=False)  # images in each replicate

    def __post_init__(self) -> None:
        self.sums = np.zeros((REPLICATES, self.length))
        self.counts = np.zeros(REPLICATES, np.int64)
        self._weights = Weights()

    def add(self, index: int, figures: NDArray[np.int64]) -> None:
        """One image's figures, (length,)."""
        weights = self._weights.of(index)
        self.counts += weights
        self.images += 1
        there = np.flatnonzero(figures)
        self.sums[:, there] += np.outer(weights, figures[there])

    def merge(self, other: Bootstrap) -> None:
        """Those of other images."""
        self.sums += other.sums
        self.counts += other.counts
        self.images += other.images

    def replicates(self) -> NDArray[np.float64]:
        """The sums of the replicates that hold an image, (at most REPLICATES, length)."""
        return self.sums[self.counts > 0]


def interval(values: NDArray[np.float64]) -> Interval | None:
    """The middle LEVEL of the replicates' values; None where none is a number."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(finite, [tail, 100 - tail])
    return float(low), float(high)
