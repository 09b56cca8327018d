"""What one image contributes to a validation: a value that any process can send to another.

Everything in it is an integer, and what is mostly zero is kept by its places, so that it takes a
few KB whatever the number of classes. Only a picture to look at is large: it goes with an image
that is among the worst of its own part of the data, since no other can be among the worst of all.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edaformer.data import Sample
from edaformer.engines.validate.answers import Answers, Labels
from edaformer.engines.validate.truth import stored_counts
from edaformer.engines.validate.validation import Shown
from edaformer.evaluation.metrics import Confusion, boundary_band, class_counts, confusion_matrix

ROWS = 5  # of confusion matrices, as tally.py names them
PATTERNS = 1 << 16  # of a half-precision number; those of magnitudes ascend with them


@dataclass(frozen=True)
class Sparse:
    """Counts that are mostly zero."""

    places: NDArray[np.uint32]  # in the flattened array, each once
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, dense: NDArray[np.int64]) -> Sparse:
        """Of an array of any shape."""
        flat = dense.reshape(-1)
        places = np.flatnonzero(flat)
        return cls(places.astype(np.uint32), flat[places])

    def add_to(self, dense: NDArray[np.int64]) -> None:
        """Add them to an array of that shape, in place."""
        dense.reshape(-1)[self.places] += self.counts


@dataclass(frozen=True)
class Equal:
    """Pixels of equal labels: in all, and within a band along the boundaries."""

    equal: int
    pixels: int
    band_equal: int
    band_pixels: int

    @classmethod
    def of(cls, same: NDArray[np.bool_], band: NDArray[np.bool_]) -> Equal:
        """Both (H, W)."""
        count = np.count_nonzero
        return cls(int(count(same)), same.size, int(count(same & band)), int(count(band)))

    @property
    def share(self) -> float:
        """Of all pixels."""
        return self.equal / self.pixels


@dataclass(frozen=True)
class Framed:
    """A frame behind the checkpoint's own processor, and behind the runtime's resizing."""

    confusions: Sparse  # (PyTorch's and the artifact's, classes, classes)
    agreement: Equal


@dataclass(frozen=True)
class Contribution:
    """Of one image."""

    index: int
    fitted: bool  # whether it was not of a size to follow the protocol to the letter
    confusions: Sparse  # (ROWS, classes, classes)
    stored: Sparse  # (256, classes): the reference, void and all
    adapted: Equal
    isr: Equal
    artifact: Equal
    flips: Sparse  # (PATTERNS,): the margins of flipped pixels, by half-precision bit pattern
    figures: NDArray[np.int64]  # what the bootstrap weighs
    framed: Framed | None = None
    shown: Shown | None = None  # where it may be among the worst


@dataclass
class Worst:
    """The images of least agreement, and of equals the first."""

    keep: int
    _heap: list[tuple[float, int, Shown]] = field(default_factory=list)

    def add(self, shown: Shown) -> bool:
        """Whether it is one of them, so far."""
        entry = (-shown.agreement, -shown.index, shown)  # the least, which goes, agrees best
        if len(self._heap) < self.keep:
            heapq.heappush(self._heap, entry)
            return True
        return bool(self.keep) and heapq.heappushpop(self._heap, entry) is not entry

    def merge(self, other: Worst) -> None:
        """Those of other images."""
        for shown in other.result():
            self.add(shown)

    def result(self) -> tuple[Shown, ...]:
        """The least agreement first."""
        return tuple(shown for *_, shown in sorted(self._heap, key=lambda kept: kept[:2])[::-1])


@dataclass
class Contributor:
    """Makes the contributions of one part of the data."""

    classes: int
    ignore: int
    worst: Worst

    def add(
        self, index: int, sample: Sample, answers: Answers, candidate: Labels, *,
        resized: bool = False, framed: Labels | None = None,
    ) -> Contribution:  # fmt: skip
        """One image.

        Args:
            index: in the data set.
            sample: the image with its truth.
            answers: PyTorch's.
            candidate: the artifact's labels.
            resized: whether those were resized.
            framed: the artifact's labels behind the runtime's resizing, where PyTorch answered so.
        """
        reference, base = answers.reference.labels, answers.base
        original = base if answers.original is None else answers.original
        letter = reference if answers.letter is None else answers.letter
        band, same = boundary_band(reference), candidate == reference
        isr, artifact = Equal.of(reference == base, band), Equal.of(same, band)
        confusions = self._confusions(sample.labels, base, reference, candidate, letter, original)
        counts = [class_counts(one).ravel() for one in confusions]
        extra = [isr.equal, artifact.equal, np.count_nonzero(letter == reference), same.size]
        shown = Shown(
            index, sample.name, artifact.share, sample.image, sample.labels, reference, candidate
        )
        return Contribution(
            index=index,
            fitted=answers.letter is not None,
            confusions=Sparse.of(confusions),
            stored=Sparse.of(stored_counts(sample.labels, reference, self.classes)),
            adapted=Equal.of(base == original, band),
            isr=isr,
            artifact=artifact,
            flips=_flips(answers.reference.margin, same | band if resized else same),
            figures=np.concatenate([*counts, extra]).astype(np.int64),
            framed=self._framed(sample, answers.framed, framed),
            shown=shown if self.worst.add(shown) else None,
        )

    def _confusions(self, truth: Labels, *rows: Labels) -> NDArray[np.int64]:
        """(rows, classes, classes); equal label maps are counted once."""
        made: dict[int, Confusion] = {}
        for labels in rows:
            if id(labels) not in made:
                made[id(labels)] = confusion_matrix(truth, labels, self.classes, self.ignore)
        return np.stack([made[id(labels)] for labels in rows])

    def _framed(
        self, sample: Sample, reference: Labels | None, candidate: Labels | None
    ) -> Framed | None:
        if reference is None or candidate is None:
            return None
        confusions = self._confusions(sample.labels, reference, candidate)
        agreement = Equal.of(reference == candidate, boundary_band(reference))
        return Framed(Sparse.of(confusions), agreement)


def _flips(margin: NDArray[np.float16], same: NDArray[np.bool_]) -> Sparse:
    return Sparse.of(np.bincount(margin[~same].view(np.uint16), minlength=PATTERNS))
