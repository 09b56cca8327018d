"""Validate an artifact on a data set: what ISR costs and what precision costs, kept apart.

Three segmenters are given the same pixels: PyTorch float32 at base ISR, PyTorch float32 at the
artifact's ISR, and the artifact. The first two differ by ISR alone, the last two by everything that
export and TensorRT did. Where the artifact's fixed size keeps it from following the protocol to the
letter, PyTorch does so in a fourth row, and the difference is what the fit costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.data import Dataset, Sample
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.spread.spread import Spread
from edaformer.engines.validate.answers import Setting, Source, check_together
from edaformer.engines.validate.comparing import Question, contributions
from edaformer.engines.validate.gates import Gates, judge
from edaformer.engines.validate.procedure import Procedure, procedure_of
from edaformer.engines.validate.saved import Saving
from edaformer.engines.validate.tally import (
    BASE,
    CANDIDATE,
    LETTER,
    ORIGINAL,
    REFERENCE,
    WITH_ORIGINAL,
    FramesTally,
    Tally,
)
from edaformer.engines.validate.truth import Stored, examine
from edaformer.engines.validate.validation import Frames, Row, Validation
from edaformer.errors import EdaformerError, NaNError
from edaformer.evaluation.metrics import score
from edaformer.evaluation.protocol import FitName, Protocol, get_protocol
from edaformer.manifest import Manifest

if TYPE_CHECKING:
    from edaformer.engines.validate.reference_cache import ReferenceCache
    from edaformer.families.checkpoint import Checkpoint


def validate(
    artifact: Path,
    checkpoint: Checkpoint,
    data: Dataset,
    *,
    gates: Gates | None = None,
    provider: str = "auto",
    protocol: Protocol | None = None,
    fit: FitName | None = None,
    frames: bool = False,
    cache: ReferenceCache | None = None,
    workers: int = 1,
    original: Checkpoint | None = None,
    save: Path | None = None,
    with_images: bool = True,
    spread: Spread | None = None,
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
        frames: whether to validate the way from the picture, too: PyTorch behind the checkpoint's
            own processor against the artifact behind the runtime's resizing.
        cache: where PyTorch's predictions are kept; None computes them here and now.
        workers: threads that read ahead, in each process; 0 reads in between.
        original: the checkpoint that ``checkpoint`` was adapted from, for a row of its own.
        save: where PyTorch's answers are saved for validations without it; None: nowhere.
        with_images: whether the pixels are saved with them.
        spread: over which processes; None: this one.
        keep_worst: how many images of least agreement the result holds.
        on_image: told how many images are done, and of how many.

    Raises:
        InputError: if artifact, checkpoint and data do not belong together, or the protocol needs
            logits that the artifact does not give.
        MissingError: for a plan without a GPU.
        NaNError: if the artifact gives no number, naming image and block, or PyTorch does.
        WorkerError: if processes die of one image again and again.
    """
    from edaformer.engines.validate.pytorch import PyTorchAnswers

    manifest = artifact_manifest(artifact)
    procedure = procedure_of(manifest, protocol or get_protocol(data.protocol), fit)
    source: Source = PyTorchAnswers(
        checkpoint, data, manifest.isr_value, procedure, align=manifest.input.alignment,
        frames=frames, cache=cache, workers=workers, original=original,
    )  # fmt: skip
    if save is not None:
        source = Saving(source, save, with_images=with_images)
    try:
        return compare(
            artifact, source, gates=gates, provider=provider, workers=workers, spread=spread,
            keep_worst=keep_worst, on_image=on_image,
        )  # fmt: skip
    except NaNError as error:
        if error.at is None:
            raise
        where = _first_block(artifact, checkpoint, data.load(error.at), procedure)
        raise NaNError(f"{str(error).partition('; ')[0]}; {where}") from error


def _first_block(
    artifact: Path, checkpoint: Checkpoint, sample: Sample, procedure: Procedure
) -> str:
    """Where an artifact leaves PyTorch, in words."""
    from edaformer.engines.validate.bisect import bisect

    fit = None if procedure.fixed is None else procedure.fit
    try:
        departure = bisect(
            artifact, checkpoint, sample.image, name=sample.name, protocol=procedure.protocol,
            fit=fit,
        )  # fmt: skip
    except EdaformerError as error:
        return f"which block it comes from cannot be said ({error})"
    if departure.first is None:
        return "none of its blocks does so here: the NaN is made behind them"
    return f"{departure.first.module} is the first that leaves PyTorch float32"


def compare(
    artifact: Path,
    source: Source,
    *,
    gates: Gates | None = None,
    provider: str = "auto",
    workers: int = 1,
    spread: Spread | None = None,
    keep_worst: int = 6,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Validation:
    """Compare ``artifact`` with PyTorch's answers, wherever they come from.

    Args:
        artifact: an ``.onnx`` or ``.plan``.
        source: the answers, to what this artifact is asked.
        gates: what must hold; None takes the defaults.
        provider: for ONNX: auto, cpu or cuda.
        workers: threads that read ahead in each of the processes of ``spread``.
        spread: over which processes; None: this one.
        keep_worst: how many images of least agreement the result holds.
        on_image: told how many images are done, and of how many.

    Raises:
        InputError: if the artifact and the answers do not belong together, or the protocol needs
            logits that the artifact does not give.
        DataError: if the classes differ, or an image cannot be read.
        MissingError: for a plan without a GPU.
    """
    manifest = artifact_manifest(artifact)
    check_together(artifact, manifest, source)
    setting = source.setting
    tally, description = Tally(len(setting.data.classes), keep_worst), ""
    question = Question(artifact, provider, setting, keep_worst)
    for done, made in enumerate(contributions(question, source, spread, workers), start=1):
        one, description = made
        tally.add(one)
        on_image(done, len(source))
    result = _result(tally, manifest, description, setting, gates or Gates())
    if setting.frames is not None:
        result = replace(result, frames=_frames(tally.frames, manifest, description, setting))
    return result


def _result(
    tally: Tally, manifest: Manifest, description: str, setting: Setting, gates: Gates
) -> Validation:
    data, torch = setting.data, setting.description
    scores = [score(confusion) for confusion in tally.confusions]
    described = {
        BASE: (torch, setting.isr_base),
        REFERENCE: (torch, manifest.isr),
        CANDIDATE: (description, manifest.isr),
        LETTER: (f"{torch}, to the letter", manifest.isr),
        ORIGINAL: (f"{torch}, before adapting", setting.isr_base),
    }
    rows = [Row(*described[row], scores[row]) for row in range(len(scores))]
    agreement, flips = tally.artifact.result(), tally.flips.result(manifest.tie)
    change = scores[CANDIDATE].miou - scores[REFERENCE].miou
    palette = data.palette or manifest.palette
    stored = Stored(tally.stored, data.classes, data.ignore_label, data.labels, palette)
    return Validation(
        data=data.name,
        notes=data.notes,
        images=tally.images,
        classes=data.classes,
        palette=palette,
        size=manifest.size,
        align=manifest.input.alignment,
        protocol=setting.procedure.protocol.label,
        fit=setting.fit,
        fitted=tally.fitted,
        reference_base=rows[BASE],
        reference=rows[REFERENCE],
        candidate=rows[CANDIDATE],
        letter=rows[LETTER] if tally.fitted else None,
        original=None if setting.original is None else rows[ORIGINAL],
        agreement_adapted=None if setting.original is None else tally.adapted.result(),
        agreement=agreement,
        agreement_isr=tally.isr.result(),
        flips=flips,
        intervals={
            name: found
            for name, found in tally.intervals().items()
            if setting.original is not None or name not in WITH_ORIGINAL
        },
        intervals_iou=tally.intervals_iou(),
        gates=judge(gates, manifest, change, agreement, flips),
        worst=tally.worst(),
        manifest=manifest,
        finding=examine(stored),
        trusted=gates.trust_labels,
    )


def _frames(tally: FramesTally, manifest: Manifest, description: str, setting: Setting) -> Frames:
    processor = f"{setting.description}, its processor's {setting.frames}"
    runtime = f"{description}, the runtime's {manifest.input.resize}"
    reference, candidate = (score(confusion) for confusion in tally.confusions)
    return Frames(
        reference=Row(processor, manifest.isr, reference),
        candidate=Row(runtime, manifest.isr, candidate),
        agreement=tally.agreement.result(),
    )
