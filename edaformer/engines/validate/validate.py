"""Validate an artifact on a data set: what ISR costs and what precision costs, kept apart.

Three segmenters are given the same pixels: PyTorch float32 at base ISR, PyTorch float32 at the
artifact's ISR, and the artifact. The first two differ by ISR alone, the last two by everything that
export and TensorRT did. Where the artifact's fixed size keeps it from following the protocol to the
letter, PyTorch does so in a fourth row, and the difference is what the fit costs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edaformer.data import Dataset, Sample
from edaformer.data.ahead import read_ahead
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.validate.procedure import (
    Image,
    Procedure,
    artifact_labels,
    decide_image,
    procedure_of,
)
from edaformer.engines.validate.reference_cache import CacheKey, ReferenceCache, image_sha256
from edaformer.engines.validate.tally import BASE, CANDIDATE, LETTER, REFERENCE, Predictions, Tally
from edaformer.engines.validate.validation import GateResult, Gates, Row, Validation
from edaformer.errors import DataError, InputError
from edaformer.evaluation.metrics import score
from edaformer.evaluation.protocol import FitName, Passes, Protocol, get_protocol
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from edaformer.labels.decide import Decision
from edaformer.manifest import Manifest


@dataclass(frozen=True)
class Reference:
    """PyTorch float32 at one ISR, out of the cache where it was there before."""

    checkpoint: Checkpoint
    isr: ISR
    segmenter: TorchSegmenter
    cache: ReferenceCache | None

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, isr: ISR, align: int | None, cache: ReferenceCache | None
    ) -> Reference:
        """The checkpoint at ``isr``, padded as the artifact pads."""
        return cls(checkpoint, isr, TorchSegmenter(checkpoint.model(isr), align), cache)

    def decide(self, image: Image, image_hash: str, passes: Passes) -> Decision:
        """Labels and margins."""
        import torch

        if self.cache is None:
            return decide_image(self.segmenter, image, passes)
        key = CacheKey(
            checkpoint_sha256=self.checkpoint.sha256,
            isr=str(self.isr),
            align=self.segmenter.align,
            passes=passes,
            image_sha256=image_hash,
            torch_version=torch.__version__,
        )
        return self.cache.get_or_make(key, lambda: decide_image(self.segmenter, image, passes))


@dataclass(frozen=True)
class _Compared:
    """The segmenters, and how they are run."""

    base: Reference
    reference: Reference
    candidate: ArtifactSegmenter
    procedure: Procedure

    def predict(self, image: Image, image_hash: str) -> Predictions:
        """What they make of an image."""
        size = (image.shape[0], image.shape[1])
        passes, letter = self.procedure.passes(size), self.procedure.by_the_letter(size)
        base = self.base.decide(image, image_hash, passes)
        same = self.reference is self.base
        return Predictions(
            base=base,
            reference=base if same else self.reference.decide(image, image_hash, passes),
            candidate=artifact_labels(self.candidate, image, passes),
            letter=None if letter == passes else self.reference.decide(image, image_hash, letter),
        )


def validate(
    artifact: Path,
    checkpoint: Checkpoint,
    data: Dataset,
    *,
    gates: Gates | None = None,
    provider: str = "auto",
    protocol: Protocol | None = None,
    fit: FitName | None = None,
    cache: ReferenceCache | None = None,
    workers: int = 1,
    keep_worst: int = 6,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Validation:
    """Compare ``artifact`` with ``checkpoint`` on ``data``.

    Args:
        artifact: an ``.onnx`` or ``.plan`` made from the checkpoint.
        checkpoint: as loaded.
        data: images with their truth.
        gates: what must hold; None takes the defaults.
        provider: for ONNX: auto, cpu or cuda.
        protocol: how to evaluate; None takes the data set's.
        fit: what the artifact does with images of another size than its own; None takes slide
            where it gives logits and resize where it gives labels alone.
        cache: where PyTorch's predictions are kept; None computes them here and now.
        workers: threads that read ahead; 0 reads in between.
        keep_worst: how many images of least agreement the result holds.
        on_image: told how many images are done, and of how many.

    Raises:
        InputError: if artifact, checkpoint and data do not belong together, or the protocol needs
            logits that the artifact does not give.
        MissingError: for a plan without a GPU.
    """
    if workers < 0:
        raise InputError(f"expected --workers of 0 or more, got {workers}")
    manifest = artifact_manifest(artifact)
    _check_together(artifact, manifest, checkpoint, data)
    procedure = procedure_of(manifest, protocol or get_protocol(data.protocol), fit)
    tally = Tally(len(data.classes), data.ignore_label, keep_worst)
    with closing(open_artifact(artifact, provider=provider)) as candidate:
        align, isr = manifest.input.alignment, manifest.isr_value
        base = Reference.of(checkpoint, checkpoint.places.base, align, cache)
        reference = base if isr == base.isr else Reference.of(checkpoint, isr, align, cache)
        compared = _Compared(base, reference, candidate, procedure)
        samples = read_ahead(data, _with_hash, workers=workers)
        for done, (sample, image_hash) in enumerate(samples, start=1):
            tally.add(sample, compared.predict(sample.image, image_hash))
            on_image(done, len(data))
    return _result(tally, compared, data, gates or Gates())


def _with_hash(sample: Sample) -> tuple[Sample, str]:
    return sample, image_sha256(sample.image)


def _result(tally: Tally, compared: _Compared, data: Dataset, gates: Gates) -> Validation:
    manifest, torch = compared.candidate.manifest, compared.reference.segmenter.description
    scores = [score(confusion) for confusion in tally.confusions]
    described = {
        BASE: (torch, str(compared.base.isr)),
        REFERENCE: (torch, manifest.isr),
        CANDIDATE: (compared.candidate.description, manifest.isr),
        LETTER: (f"{torch}, to the letter", manifest.isr),
    }
    rows = [Row(*described[row], scores[row]) for row in range(len(scores))]
    agreement, check = tally.artifact.result(), manifest.verification
    drop = scores[REFERENCE].miou - scores[CANDIDATE].miou
    return Validation(
        data=data.name,
        notes=data.notes,
        images=tally.images,
        classes=data.classes,
        palette=data.palette or manifest.palette,
        size=manifest.size,
        align=manifest.input.alignment,
        protocol=compared.procedure.protocol.label,
        fit=compared.procedure.fit,
        fitted=tally.fitted,
        reference_base=rows[BASE],
        reference=rows[REFERENCE],
        candidate=rows[CANDIDATE],
        letter=rows[LETTER] if tally.fitted else None,
        agreement=agreement,
        agreement_isr=tally.isr.result(),
        flips=tally.flips.result(None if check is None else check.tolerance),
        intervals=tally.intervals(),
        intervals_iou=tally.intervals_iou(),
        gates=_gates(gates, drop, agreement.overall),
        worst=tally.worst(),
        manifest=manifest,
    )


def _gates(gates: Gates, drop: float, agreement: float) -> tuple[GateResult, ...]:
    too_low = (
        f"mIoU drops by {drop:.3f} points against PyTorch float32 at the same ISR, "
        f"more than {gates.max_miou_drop:g}"
    )
    too_few = f"labels agree on {agreement:.5f} of the pixels, less than {gates.min_agreement:g}"
    keeps, agrees = drop <= gates.max_miou_drop, agreement >= gates.min_agreement
    return (
        GateResult("max_miou_drop", drop, gates.max_miou_drop, None if keeps else too_low),
        GateResult("min_agreement", agreement, gates.min_agreement, None if agrees else too_few),
    )


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
