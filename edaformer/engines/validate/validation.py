"""What a validation found: figures, intervals, gates, and the images that came out worst."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.validate.truth import Finding
from edaformer.evaluation.bootstrap import LEVEL, REPLICATES, Interval
from edaformer.evaluation.metrics import Score
from edaformer.manifest import Manifest
from edaformer.preprocess import format_size

if TYPE_CHECKING:
    from edaformer.export.bisect import Departure


@dataclass(frozen=True)
class GateResult:
    """One gate: what was measured, against what."""

    name: str
    measured: float
    limit: float
    failure: str | None  # in words; None where it passed


@dataclass(frozen=True)
class Agreement:
    """Equal labels over all pixels, void included; fractions."""

    overall: float
    worst: float  # of the worst image
    boundary: float | None = None  # within BAND pixels of a boundary; None where there is none


@dataclass(frozen=True)
class Flips:
    """The pixels where the artifact's label differs from the reference's, by the margin there.

    The margin is the reference's best logit less its second best (of log probabilities where
    several passes are averaged). Below what rounding was measured to move it by at export, rounding
    alone may decide: a tie. Above it something was damaged. Where labels had to be resized, those
    within BAND pixels of a boundary move by that alone, and are not counted.
    """

    flipped: int  # pixels
    tolerance: float | None  # of a tie; None: the artifact does not say
    ties: int | None
    margin_median: float | None  # None where no pixel flipped
    margin_max: float | None

    @property
    def beyond(self) -> int | None:
        """Those that rounding does not explain."""
        return None if self.ties is None else self.flipped - self.ties


@dataclass(frozen=True)
class Row:
    """One segmenter's figures."""

    description: str
    isr: str
    score: Score


@dataclass(frozen=True)
class Frames:
    """From the picture on: PyTorch behind its processor, the artifact behind the runtime."""

    reference: Row
    candidate: Row
    agreement: Agreement

    @property
    def delta(self) -> float:
        """What resizing, precision and engine change together, in points of mIoU."""
        return self.candidate.score.miou - self.reference.score.miou


@dataclass(frozen=True)
class Shown:
    """An image to look at."""

    index: int
    name: str
    agreement: float  # fraction, artifact against reference
    image: NDArray[np.uint8]  # RGB (H, W, 3)
    truth: NDArray[np.uint8]  # (H, W)
    reference: NDArray[np.uint8]
    candidate: NDArray[np.uint8]


@dataclass(frozen=True)
class Validation:
    """The figures and the verdict."""

    data: str
    notes: tuple[str, ...]
    images: int
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] | None
    size: tuple[int, int]
    align: int | None
    protocol: str
    fit: str
    fitted: int  # images that were not of a size to follow the protocol to the letter
    reference_base: Row
    reference: Row
    candidate: Row
    letter: Row | None  # PyTorch at this ISR to the letter, where fitted
    agreement: Agreement  # candidate against reference
    agreement_isr: Agreement  # reference against reference_base
    flips: Flips
    intervals: Mapping[str, Interval | None]  # of the differences, by their names below
    intervals_iou: Mapping[str, tuple[Interval | None, ...]]  # likewise, by class
    gates: tuple[GateResult, ...]
    worst: tuple[Shown, ...]  # least agreement first
    manifest: Manifest
    frames: Frames | None = None  # where they were asked for
    original: Row | None = None  # at base ISR, the checkpoint that this one was adapted from
    agreement_adapted: Agreement | None = None  # reference_base against original
    finding: Finding | None = None  # what is wrong with the truth
    trusted: bool = False  # the truth, whatever is found
    departure: Departure | None = None  # where the artifact leaves float32, if asked for

    @property
    def failures(self) -> tuple[str, ...]:
        """What is wrong with the truth, before any gate counts; and the gates missed, in words."""
        missed = tuple(gate.failure for gate in self.gates if gate.failure is not None)
        return missed if self.refused is None else (self.refused.refusal, *missed)

    @property
    def refused(self) -> Finding | None:
        """What is wrong with the truth, where nobody overruled it."""
        return None if self.trusted else self.finding

    @property
    def delta_adapted(self) -> float:
        """What adapting changed at base ISR, in points of mIoU; 0 where nothing was adapted."""
        if self.original is None:
            return 0.0
        return self.reference_base.score.miou - self.original.score.miou

    @property
    def delta_deployed(self) -> float:
        """What adapting, ISR and precision change together, in points of mIoU."""
        return self.delta_adapted + self.delta_isr + self.delta_precision

    @property
    def rows(self) -> tuple[tuple[str, Row, float | None], ...]:
        """The table: a short name, the figures, equal labels with the row above as a fraction."""
        made: list[tuple[str, Row, float | None]] = []
        before = None
        if self.original is not None and self.agreement_adapted is not None:
            made.append(("original", self.original, None))
            before = self.agreement_adapted.overall
        made += [
            ("PyTorch", self.reference_base, before),
            ("PyTorch", self.reference, self.agreement_isr.overall),
            ("artifact", self.candidate, self.agreement.overall),
        ]
        if self.letter is not None:
            made.append(("to the letter", self.letter, None))
        if self.frames is not None:
            made.append(("PyTorch, frames", self.frames.reference, None))
            made.append(("artifact, frames", self.frames.candidate, self.frames.agreement.overall))
        return tuple(made)

    @property
    def names(self) -> dict[str, str]:
        """What the short names stand for."""
        return {name: row.description for name, row, _ in self.rows}

    @property
    def delta_isr(self) -> float:
        """What ISR changes, in points of mIoU."""
        return self.reference.score.miou - self.reference_base.score.miou

    @property
    def delta_precision(self) -> float:
        """What export, precision and engine change, in points of mIoU."""
        return self.candidate.score.miou - self.reference.score.miou

    @property
    def delta_fit(self) -> float:
        """What the artifact's fixed size changes against the protocol, in points of mIoU."""
        return 0.0 if self.letter is None else self.reference.score.miou - self.letter.score.miou

    @property
    def delta_iou_isr(self) -> tuple[float, ...]:
        """What ISR changes by class, in points; NaN where a class is absent."""
        return _by_class(self.reference, self.reference_base)

    @property
    def delta_iou(self) -> tuple[float, ...]:
        """What precision changes by class, likewise."""
        return _by_class(self.candidate, self.reference)

    def to_json(self) -> dict[str, Any]:
        """mIoU, mAcc, aAcc and deltas in points, agreement as fractions; no times, no paths."""
        rows = {
            "reference_base": self.reference_base,
            "reference": self.reference,
            "candidate": self.candidate,
        }
        departure = {} if self.departure is None else {"bisect": self.departure.to_json()}
        return {
            "data": self.data,
            "notes": list(self.notes),
            "images": self.images,
            "size": format_size(self.size),
            "align": self.align,
            "protocol": self.protocol,
            "fit": self.fit,
            "fitted": self.fitted,
            **{name: self._row(row) for name, row in rows.items()},
            "to_the_letter": None if self.letter is None else self._row(self.letter),
            "delta_isr": self.delta_isr,
            "delta_precision": self.delta_precision,
            "delta_fit": self.delta_fit,
            "agreement": self.agreement.overall,
            "agreement_worst": self.agreement.worst,
            "agreement_boundary": self.agreement.boundary,
            "agreement_isr": self.agreement_isr.overall,
            "agreement_isr_worst": self.agreement_isr.worst,
            "agreement_isr_boundary": self.agreement_isr.boundary,
            "flips": asdict(self.flips),
            "intervals": self._intervals(),
            "labels": None if self.finding is None else asdict(self.finding),
            "trust_labels": self.trusted,
            "gates": [asdict(gate) for gate in self.gates],
            "worst": [{"name": s.name, "agreement": s.agreement} for s in self.worst],
            **self._frames(),
            **self._adapted(),
            **departure,
            "passed": not self.failures,
            "failures": list(self.failures),
        }

    def _adapted(self) -> dict[str, Any]:
        if self.original is None or self.agreement_adapted is None:
            return {}
        return {
            "original": self._row(self.original),
            "delta_adapted": self.delta_adapted,
            "delta_deployed": self.delta_deployed,
            "agreement_adapted": self.agreement_adapted.overall,
        }

    def _frames(self) -> dict[str, Any]:
        if self.frames is None:
            return {}
        return {
            "frames": {
                "reference": self._row(self.frames.reference),
                "candidate": self._row(self.frames.candidate),
                "delta": self.frames.delta,
                "agreement": self.frames.agreement.overall,
                "agreement_worst": self.frames.agreement.worst,
            }
        }

    def _row(self, row: Row) -> dict[str, Any]:
        iou = zip(self.classes, row.score.iou, strict=True)
        return {
            "description": row.description,
            "isr": row.isr,
            "miou": row.score.miou,
            "macc": row.score.macc,
            "aacc": row.score.aacc,
            "iou": {name: None if math.isnan(value) else value for name, value in iou},
        }

    def _intervals(self) -> dict[str, Any]:
        by_class = {
            name: dict(zip(self.classes, intervals, strict=True))
            for name, intervals in self.intervals_iou.items()
        }
        return {"level": LEVEL, "replicates": REPLICATES, **self.intervals, **by_class}


def _by_class(row: Row, before: Row) -> tuple[float, ...]:
    pairs = zip(row.score.iou, before.score.iou, strict=True)
    return tuple(own - other for own, other in pairs)
