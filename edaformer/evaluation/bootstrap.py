"""How sure a difference is: a bootstrap over images whose memory does not grow with them.

Poisson bootstrap (Hanley and MacGibbon 2006; Chamandy et al. 2012): instead of drawing the images
anew for every replicate, each image enters each replicate Poisson(1) times as it comes by, so only
the replicates' sums are kept. What is paired stays paired, since one weight counts for all of an
image's figures. The seed is fixed: the same images give the same interval.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

REPLICATES = 1000
LEVEL = 0.95
_SEED = 20240717

Interval = tuple[float, float]


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
        # its stream is frozen (NEP 19), a Generator's is not: intervals outlive NumPy's versions
        self._random = np.random.RandomState(_SEED)

    def add(self, figures: NDArray[np.int64]) -> None:
        """One image's figures, (length,)."""
        weights = self._random.poisson(1.0, REPLICATES)
        self.counts += weights
        self.images += 1
        there = np.flatnonzero(figures)
        self.sums[:, there] += np.outer(weights, figures[there])

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
