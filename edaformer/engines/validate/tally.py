"""Sums over images: confusion matrices, agreement, margins, replicates. Flat in their number.

All of them are exact, so tallies of parts of the data merge to that of the whole, whatever the
parts and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.validate.contribution import (
    PATTERNS,
    ROWS,
    Contribution,
    Equal,
    Framed,
    Sparse,
    Worst,
)
from edaformer.engines.validate.validation import Agreement, Flips, Shown
from edaformer.evaluation.bootstrap import Bootstrap, Interval, interval
from edaformer.evaluation.metrics import iou_of_counts

BASE, REFERENCE, CANDIDATE, LETTER, ORIGINAL = range(ROWS)
WITH_ORIGINAL = ("delta_adapted", "delta_deployed")  # differences that need that row
_EXTRA = 4  # figures beside the counts: equal to base, to the reference, to the letter; all pixels


@dataclass
class AgreementTally:
    """Equal labels, over all pixels and along boundaries."""

    equal: int = 0
    pixels: int = 0
    band_equal: int = 0
    band_pixels: int = 0
    worst: float = 1.0

    def add(self, one: Equal) -> None:
        """One image."""
        self.merge(
            AgreementTally(one.equal, one.pixels, one.band_equal, one.band_pixels, one.share)
        )

    def merge(self, other: AgreementTally) -> None:
        """Those of other images."""
        self.equal += other.equal
        self.pixels += other.pixels
        self.band_equal += other.band_equal
        self.band_pixels += other.band_pixels
        self.worst = min(self.worst, other.worst)

    def result(self) -> Agreement:
        """As fractions."""
        boundary = self.band_equal / self.band_pixels if self.band_pixels else None
        return Agreement(self.equal / self.pixels, self.worst, boundary)


@dataclass
class FlipTally:
    """The margins of flipped pixels, by half-precision bit pattern: exact, and flat."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(PATTERNS, np.int64))

    def add(self, one: Sparse) -> None:
        """One image."""
        one.add_to(self.counts)

    def merge(self, other: FlipTally) -> None:
        """Those of other images."""
        self.counts += other.counts

    def result(self, tolerance: float | None) -> Flips:
        """Ties and the margins' median (the lower of two) and maximum."""
        flipped = int(self.counts.sum())
        margins = np.arange(PATTERNS, dtype=np.uint16).view(np.float16)
        below = None if tolerance is None else int(self.counts[margins < tolerance].sum())
        if not flipped:
            return Flips(0, tolerance, below, None, None)
        median = margins[np.searchsorted(np.cumsum(self.counts), (flipped + 1) // 2)]
        largest = margins[np.flatnonzero(self.counts)[-1]]
        return Flips(flipped, tolerance, below, float(median), float(largest))


@dataclass
class FramesTally:
    """Frames behind the checkpoint's own processor, and behind the runtime's resizing."""

    classes: int
    confusions: NDArray[np.int64] = field(init=False)  # (PyTorch's and the artifact's, ...)
    agreement: AgreementTally = field(default_factory=AgreementTally)

    def __post_init__(self) -> None:
        self.confusions = np.zeros((2, self.classes, self.classes), np.int64)

    def add(self, one: Framed) -> None:
        """One frame."""
        one.confusions.add_to(self.confusions)
        self.agreement.add(one.agreement)

    def merge(self, other: FramesTally) -> None:
        """Those of other images."""
        self.confusions += other.confusions
        self.agreement.merge(other.agreement)


@dataclass
class Tally:
    """Everything that is summed."""

    classes: int
    keep_worst: int
    images: int = 0
    fitted: int = 0
    confusions: NDArray[np.int64] = field(init=False)  # (ROWS, classes, classes)
    stored: NDArray[np.int64] = field(init=False)  # (256, classes): the reference, void and all
    adapted: AgreementTally = field(default_factory=AgreementTally)
    isr: AgreementTally = field(default_factory=AgreementTally)
    artifact: AgreementTally = field(default_factory=AgreementTally)
    flips: FlipTally = field(default_factory=FlipTally)
    bootstrap: Bootstrap = field(init=False)
    frames: FramesTally = field(init=False)
    _worst: Worst = field(init=False)

    def __post_init__(self) -> None:
        self.confusions = np.zeros((ROWS, self.classes, self.classes), np.int64)
        self.stored = np.zeros((256, self.classes), np.int64)
        self.bootstrap = Bootstrap(ROWS * 3 * self.classes + _EXTRA)
        self.frames = FramesTally(self.classes)
        self._worst = Worst(self.keep_worst)

    def add(self, one: Contribution) -> None:
        """One image."""
        self.images += 1
        self.fitted += one.fitted
        one.confusions.add_to(self.confusions)
        one.stored.add_to(self.stored)
        self.adapted.add(one.adapted)
        self.isr.add(one.isr)
        self.artifact.add(one.artifact)
        self.flips.add(one.flips)
        self.bootstrap.add(one.index, one.figures)
        if one.framed is not None:
            self.frames.add(one.framed)
        if one.shown is not None:
            self._worst.add(one.shown)

    def merge(self, other: Tally) -> None:
        """Those of other images: exact, and the same whatever is merged first."""
        self.images += other.images
        self.fitted += other.fitted
        self.confusions += other.confusions
        self.stored += other.stored
        self.adapted.merge(other.adapted)
        self.isr.merge(other.isr)
        self.artifact.merge(other.artifact)
        self.flips.merge(other.flips)
        self.bootstrap.merge(other.bootstrap)
        self.frames.merge(other.frames)
        self._worst.merge(other._worst)

    def worst(self) -> tuple[Shown, ...]:
        """The images of least agreement, the least first."""
        return self._worst.result()

    def intervals(self) -> Mapping[str, Interval | None]:
        """Of every difference, by the names of Validation's JSON; None for a single image."""
        sums = self._replicates()
        miou = [_mean(self._iou(sums, row)) for row in range(ROWS)]
        pixels = sums[:, -1]
        return {
            "delta_adapted": interval(miou[BASE] - miou[ORIGINAL]),
            "delta_deployed": interval(miou[CANDIDATE] - miou[ORIGINAL]),
            "delta_isr": interval(miou[REFERENCE] - miou[BASE]),
            "delta_precision": interval(miou[CANDIDATE] - miou[REFERENCE]),
            "delta_fit": interval(miou[REFERENCE] - miou[LETTER]),
            "agreement_isr": interval(sums[:, -4] / pixels),
            "agreement": interval(sums[:, -3] / pixels),
            "agreement_fit": interval(sums[:, -2] / pixels),
        }

    def intervals_iou(self) -> Mapping[str, tuple[Interval | None, ...]]:
        """Of what ISR and what precision changes, by class."""
        sums = self._replicates()
        base, reference, own = (self._iou(sums, row) for row in (BASE, REFERENCE, CANDIDATE))
        changes = {"delta_iou_isr": reference - base, "delta_iou": own - reference}
        return {
            name: tuple(interval(changed[:, label]) for label in range(self.classes))
            for name, changed in changes.items()
        }

    def _replicates(self) -> NDArray[np.float64]:
        sums = self.bootstrap.replicates()
        return sums if self.images > 1 else sums[:0]

    def _iou(self, sums: NDArray[np.float64], row: int) -> NDArray[np.float64]:
        """(replicates, classes)."""
        start = row * 3 * self.classes
        counts = sums[:, start : start + 3 * self.classes]
        return iou_of_counts(counts.reshape(-1, 3, self.classes))


def _mean(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mIoU of each replicate, absent classes left out."""
    present = ~np.isnan(iou)
    count = present.sum(axis=1)
    total = np.where(present, iou, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
