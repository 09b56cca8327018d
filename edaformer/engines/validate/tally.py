"""Sums over images: confusion matrices, agreement, margins, replicates. Flat in their number."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edaformer.data import Sample
from edaformer.engines.validate.answers import Answers, Labels
from edaformer.engines.validate.truth import stored_counts
from edaformer.engines.validate.validation import Agreement, Flips, Shown
from edaformer.evaluation.bootstrap import Bootstrap, Interval, interval
from edaformer.evaluation.metrics import (
    Confusion,
    boundary_band,
    class_counts,
    confusion_matrix,
    iou_of_counts,
)

BASE, REFERENCE, CANDIDATE, LETTER, ORIGINAL = range(5)  # the rows
_ROWS = 5
WITH_ORIGINAL = ("delta_adapted", "delta_deployed")  # differences that need that row
_PATTERNS = 1 << 16  # of a half-precision number; those of magnitudes ascend with them
_EXTRA = 4  # figures beside the counts: equal to base, to the reference, to the letter; all pixels


@dataclass
class AgreementTally:
    """Equal labels, over all pixels and along boundaries."""

    equal: int = 0
    pixels: int = 0
    band_equal: int = 0
    band_pixels: int = 0
    worst: float = 1.0

    def add(self, same: NDArray[np.bool_], band: NDArray[np.bool_]) -> int:
        """One image; the number of its equal pixels."""
        equal = int(np.count_nonzero(same))
        self.equal += equal
        self.pixels += same.size
        self.band_equal += int(np.count_nonzero(same & band))
        self.band_pixels += int(np.count_nonzero(band))
        self.worst = min(self.worst, equal / same.size)
        return equal

    def result(self) -> Agreement:
        """As fractions."""
        boundary = self.band_equal / self.band_pixels if self.band_pixels else None
        return Agreement(self.equal / self.pixels, self.worst, boundary)


@dataclass
class FlipTally:
    """The margins of flipped pixels, by half-precision bit pattern: exact, and flat."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_PATTERNS, np.int64))

    def add(self, margin: NDArray[np.float16], same: NDArray[np.bool_]) -> None:
        """One image."""
        if not same.all():
            self.counts += np.bincount(margin[~same].view(np.uint16), minlength=_PATTERNS)

    def result(self, tolerance: float | None) -> Flips:
        """Ties and the margins' median (the lower of two) and maximum."""
        flipped = int(self.counts.sum())
        margins = np.arange(_PATTERNS, dtype=np.uint16).view(np.float16)
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
    ignore: int
    confusions: NDArray[np.int64] = field(init=False)  # (PyTorch's and the artifact's, ...)
    agreement: AgreementTally = field(default_factory=AgreementTally)

    def __post_init__(self) -> None:
        self.confusions = np.zeros((2, self.classes, self.classes), np.int64)

    def add(self, sample: Sample, framed: Labels, own: Labels) -> None:
        """One frame."""
        for row, labels in enumerate((framed, own)):
            counts = confusion_matrix(sample.labels, labels, self.classes, self.ignore)
            self.confusions[row] += counts
        self.agreement.add(framed == own, boundary_band(framed))


@dataclass
class Tally:
    """Everything that is summed."""

    classes: int
    ignore: int
    keep_worst: int
    images: int = 0
    fitted: int = 0
    confusions: NDArray[np.int64] = field(init=False)  # (rows, classes, classes)
    stored: NDArray[np.int64] = field(init=False)  # (256, classes): the reference, void and all
    adapted: AgreementTally = field(default_factory=AgreementTally)
    isr: AgreementTally = field(default_factory=AgreementTally)
    artifact: AgreementTally = field(default_factory=AgreementTally)
    flips: FlipTally = field(default_factory=FlipTally)
    bootstrap: Bootstrap = field(init=False)
    _worst: list[tuple[float, int, Shown]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusions = np.zeros((_ROWS, self.classes, self.classes), np.int64)
        self.stored = np.zeros((256, self.classes), np.int64)
        self.bootstrap = Bootstrap(_ROWS * 3 * self.classes + _EXTRA)

    def add(
        self, sample: Sample, answers: Answers, candidate: Labels, *, resized: bool = False
    ) -> None:
        """One image: PyTorch's answers, and the artifact's labels; whether those were resized."""
        reference, base = answers.reference.labels, answers.base
        original = base if answers.original is None else answers.original
        band = boundary_band(reference)
        self.adapted.add(base == original, band)
        same = candidate == reference
        equal_isr = self.isr.add(reference == base, band)
        equal = self.artifact.add(same, band)
        self.flips.add(answers.reference.margin, same | band if resized else same)
        letter = reference if answers.letter is None else answers.letter
        confusions = self._confusions(sample.labels, base, reference, candidate, letter, original)
        self.confusions += confusions
        self.stored += stored_counts(sample.labels, reference, self.classes)
        counts = np.concatenate([class_counts(one).ravel() for one in confusions])
        extra = [equal_isr, equal, np.count_nonzero(letter == reference), same.size]
        self.bootstrap.add(np.concatenate([counts, extra]))
        self._show(sample, reference, candidate, equal / same.size)
        self.fitted += answers.letter is not None
        self.images += 1

    def worst(self) -> tuple[Shown, ...]:
        """The images of least agreement, the least first."""
        return tuple(shown for *_, shown in sorted(self._worst, key=lambda kept: kept[:2])[::-1])

    def intervals(self) -> Mapping[str, Interval | None]:
        """Of every difference, by the names of Validation's JSON; None for a single image."""
        sums = self._replicates()
        miou = [_mean(self._iou(sums, row)) for row in range(_ROWS)]
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

    def _confusions(self, truth: Labels, *rows: Labels) -> NDArray[np.int64]:
        """(rows, classes, classes); equal label maps are counted once."""
        made: dict[int, Confusion] = {}
        for labels in rows:
            if id(labels) not in made:
                made[id(labels)] = confusion_matrix(truth, labels, self.classes, self.ignore)
        return np.stack([made[id(labels)] for labels in rows])

    def _replicates(self) -> NDArray[np.float64]:
        sums = self.bootstrap.replicates()
        return sums if self.images > 1 else sums[:0]

    def _iou(self, sums: NDArray[np.float64], row: int) -> NDArray[np.float64]:
        """(replicates, classes)."""
        start = row * 3 * self.classes
        counts = sums[:, start : start + 3 * self.classes]
        return iou_of_counts(counts.reshape(-1, 3, self.classes))

    def _show(self, sample: Sample, reference: Labels, candidate: Labels, agreement: float) -> None:
        shown = Shown(
            self.images, sample.name, agreement, sample.image, sample.labels, reference, candidate
        )
        entry = (-agreement, -self.images, shown)  # the heap drops its least: the best, then latest
        push = heapq.heappush if len(self._worst) < self.keep_worst else heapq.heappushpop
        push(self._worst, entry)


def _mean(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mIoU of each replicate, absent classes left out."""
    present = ~np.isnan(iou)
    count = present.sum(axis=1)
    total = np.where(present, iou, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
