"""Validate an artifact on a data set: what ISR costs and what precision costs, kept apart.

Three segmenters see the same images: PyTorch float32 at base ISR, PyTorch float32 at the artifact's
ISR, and the artifact. The first two differ by ISR alone, the last two by everything that export and
TensorRT did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edaformer.checkpoint import Checkpoint
from edaformer.data import Dataset, Sample
from edaformer.engines.segmenters import Labels, Segmenter, TorchSegmenter, open_artifact
from edaformer.errors import DataError, InputError
from edaformer.isr import BASE
from edaformer.manifest import Manifest
from edaformer.metrics import Confusion, Score, confusion_matrix, score
from edaformer.preprocess import format_size


@dataclass(frozen=True)
class Gates:
    """What must hold for the artifact, against PyTorch float32 at the same ISR."""

    max_miou_drop: float = 0.1  # points
    min_agreement: float = 0.999  # fraction of pixels

    def __post_init__(self) -> None:
        if not 0 <= self.min_agreement <= 1:
            raise InputError(
                f"expected --min-agreement as a fraction from 0 to 1, got {self.min_agreement:g}"
            )
        if math.isnan(self.max_miou_drop):
            raise InputError("expected --max-miou-drop in points, got nan")


@dataclass(frozen=True)
class Agreement:
    """Equal labels over all pixels, void included."""

    overall: float  # fraction
    worst: float  # of the worst image


@dataclass(frozen=True)
class Row:
    """One segmenter's figures."""

    description: str
    isr: str
    score: Score


@dataclass(frozen=True)
class Validation:
    """The figures and the verdict."""

    data: str
    images: int
    classes: tuple[str, ...]
    size: tuple[int, int]
    align: int | None
    reference_base: Row
    reference: Row
    candidate: Row
    agreement: Agreement  # candidate against reference
    agreement_isr: Agreement  # reference against reference_base
    failures: tuple[str, ...]  # gates missed, in words

    @property
    def delta_isr(self) -> float:
        """What ISR changes, in points of mIoU."""
        return self.reference.score.miou - self.reference_base.score.miou

    @property
    def delta_precision(self) -> float:
        """What export, precision and engine change, in points of mIoU."""
        return self.candidate.score.miou - self.reference.score.miou

    def to_json(self) -> dict[str, Any]:
        """mIoU, mAcc, aAcc and deltas in points, agreement as fractions."""
        rows = {
            "reference_base": self.reference_base,
            "reference": self.reference,
            "candidate": self.candidate,
        }
        return {
            "data": self.data,
            "images": self.images,
            "size": format_size(self.size),
            "align": self.align,
            **{name: self._row(row) for name, row in rows.items()},
            "delta_isr": self.delta_isr,
            "delta_precision": self.delta_precision,
            "agreement": self.agreement.overall,
            "agreement_worst": self.agreement.worst,
            "agreement_isr": self.agreement_isr.overall,
            "passed": not self.failures,
            "failures": list(self.failures),
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


def validate(
    artifact: Path,
    checkpoint: Checkpoint,
    data: Dataset,
    *,
    gates: Gates | None = None,
    provider: str = "auto",
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Validation:
    """Compare ``artifact`` with ``checkpoint`` on ``data``.

    Args:
        artifact: an ``.onnx`` or ``.plan`` made from the checkpoint.
        checkpoint: as loaded.
        data: images of the artifact's size.
        gates: what must hold; None takes the defaults.
        provider: for ONNX: auto, cpu or cuda.
        on_image: told how many images are done, and of how many.

    Raises:
        InputError: if artifact, checkpoint and data do not belong together.
        MissingError: for a plan without a GPU.
    """
    with closing(open_artifact(artifact, provider=provider)) as candidate:
        manifest = candidate.manifest
        _check_together(artifact, manifest, checkpoint, data)
        align = manifest.input.align
        base = TorchSegmenter(checkpoint.model(BASE), align)
        same = manifest.isr_value == BASE
        reference = base if same else TorchSegmenter(checkpoint.model(manifest.isr_value), align)
        tally = _Tally(data, (base, reference, candidate))
        for done, sample in enumerate(data, start=1):
            _check_size(sample, manifest, artifact)
            tally.add(sample)
            on_image(done, len(data))
    return tally.result(manifest, gates or Gates())


@dataclass
class _Tally:
    """Confusion matrices and agreement, summed image by image."""

    data: Dataset
    segmenters: tuple[Segmenter, Segmenter, Segmenter]
    confusions: list[Confusion] = field(init=False)
    equal: dict[str, list[float]] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.data.classes)
        self.confusions = [np.zeros((count, count), np.int64) for _ in self.segmenters]
        self.equal = {"isr": [], "artifact": []}

    def add(self, sample: Sample) -> None:
        base, reference, candidate = self._segment(sample)
        classes, ignore = len(self.data.classes), self.data.ignore_label
        for index, labels in enumerate((base, reference, candidate)):
            self.confusions[index] += confusion_matrix(sample.labels, labels, classes, ignore)
        self.equal["isr"].append(float((reference == base).mean()))
        self.equal["artifact"].append(float((candidate == reference).mean()))

    def _segment(self, sample: Sample) -> list[Labels]:
        """One segmentation each; the same segmenter twice computes once."""
        made: dict[int, Labels] = {}
        for segmenter in self.segmenters:
            if id(segmenter) not in made:
                made[id(segmenter)] = segmenter.segment(sample.image[None])[0]
        return [made[id(segmenter)] for segmenter in self.segmenters]

    def result(self, manifest: Manifest, gates: Gates) -> Validation:
        isrs = (str(BASE), manifest.isr, manifest.isr)
        base, reference, candidate = (
            Row(segmenter.description, isr, score(confusion))
            for segmenter, isr, confusion in zip(
                self.segmenters, isrs, self.confusions, strict=True
            )
        )
        agreement = _agreement(self.equal["artifact"])
        drop = reference.score.miou - candidate.score.miou
        return Validation(
            data=self.data.name,
            images=len(self.data),
            classes=self.data.classes,
            size=manifest.size,
            align=manifest.input.align,
            reference_base=base,
            reference=reference,
            candidate=candidate,
            agreement=agreement,
            agreement_isr=_agreement(self.equal["isr"]),
            failures=tuple(_failures(gates, drop, agreement.overall)),
        )


def _failures(gates: Gates, drop: float, agreement: float) -> list[str]:
    failures = []
    if not drop <= gates.max_miou_drop:
        failures.append(
            f"mIoU drops by {drop:.3f} points against PyTorch float32 at the same ISR, "
            f"more than {gates.max_miou_drop:g}"
        )
    if not agreement >= gates.min_agreement:
        failures.append(
            f"labels agree on {agreement:.5f} of the pixels, less than {gates.min_agreement:g}"
        )
    return failures


def _agreement(equal: list[float]) -> Agreement:
    """All images have the artifact's size, so the mean over images is the mean over pixels."""
    return Agreement(overall=float(np.mean(equal)), worst=min(equal))


def _check_together(
    artifact: Path, manifest: Manifest, checkpoint: Checkpoint, data: Dataset
) -> None:
    if manifest.checkpoint_sha256 != checkpoint.sha256:
        raise InputError(
            f"{artifact} was exported from another checkpoint (SHA-256 "
            f"{manifest.checkpoint_sha256[:12]}..., {checkpoint.path.name} has "
            f"{checkpoint.sha256[:12]}...); name the one it came from"
        )
    if manifest.num_classes != len(data.classes):
        raise DataError(
            f"{data.name} has {len(data.classes)} classes and {artifact} predicts "
            f"{manifest.num_classes}; use the data set it was trained on"
        )
    own, theirs = (_folded(names) for names in (manifest.classes or (), data.classes))
    if own and own != theirs:
        at = next(i for i, (a, b) in enumerate(zip(own, theirs, strict=True)) if a != b)
        raise DataError(
            f"class {at} is '{data.classes[at]}' in {data.name} and "
            f"'{(manifest.classes or ())[at]}' in {artifact}; use the data set it was trained on"
        )


def _folded(names: tuple[str, ...]) -> list[str]:
    return [name.strip().casefold() for name in names]


def _check_size(sample: Sample, manifest: Manifest, artifact: Path) -> None:
    got = (sample.image.shape[0], sample.image.shape[1])
    if got != manifest.size:
        raise DataError(
            f"image {sample.name} is {format_size(got)} and {artifact} takes "
            f"{format_size(manifest.size)}; export with --size {format_size(got)}"
        )
