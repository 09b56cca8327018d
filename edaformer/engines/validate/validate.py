"""Validate an artifact on a data set: what ISR costs and what precision costs, kept apart.

Three segmenters are given the same pixels: PyTorch float32 at base ISR, PyTorch float32 at the
artifact's ISR, and the artifact. The first two differ by ISR alone, the last two by everything that
export and TensorRT did. Where the artifact's fixed size keeps it from following the protocol to the
letter, PyTorch does so in a fourth row, and the difference is what the fit costs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.data import Dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.validate.answers import Setting, Source, check_together
from edaformer.engines.validate.procedure import artifact_labels, procedure_of
from edaformer.engines.validate.saved import Saving
from edaformer.engines.validate.tally import BASE, CANDIDATE, LETTER, REFERENCE, FramesTally, Tally
from edaformer.engines.validate.truth import Stored, examine
from edaformer.engines.validate.validation import Frames, GateResult, Gates, Row, Validation
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
    save: Path | None = None,
    with_images: bool = True,
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
        workers: threads that read ahead; 0 reads in between.
        save: where PyTorch's answers are saved for validations without it; None: nowhere.
        with_images: whether the pixels are saved with them.
        keep_worst: how many images of least agreement the result holds.
        on_image: told how many images are done, and of how many.

    Raises:
        InputError: if artifact, checkpoint and data do not belong together, or the protocol needs
            logits that the artifact does not give.
        MissingError: for a plan without a GPU.
    """
    from edaformer.engines.validate.pytorch import PyTorchAnswers

    manifest = artifact_manifest(artifact)
    procedure = procedure_of(manifest, protocol or get_protocol(data.protocol), fit)
    source: Source = PyTorchAnswers(
        checkpoint, data, manifest.isr_value, procedure, align=manifest.input.alignment,
        frames=frames, cache=cache, workers=workers,
    )  # fmt: skip
    if save is not None:
        source = Saving(source, save, with_images=with_images)
    return compare(
        artifact, source, gates=gates, provider=provider, keep_worst=keep_worst, on_image=on_image
    )


def compare(
    artifact: Path,
    source: Source,
    *,
    gates: Gates | None = None,
    provider: str = "auto",
    keep_worst: int = 6,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Validation:
    """Compare ``artifact`` with PyTorch's answers, wherever they come from.

    Args:
        artifact: an ``.onnx`` or ``.plan``.
        source: the answers, to what this artifact is asked.
        gates: what must hold; None takes the defaults.
        provider: for ONNX: auto, cpu or cuda.
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
    asked = setting.procedure
    procedure = procedure_of(
        manifest, asked.protocol, None if manifest.input.dynamic_size else asked.fit
    )
    classes, void = len(setting.data.classes), setting.data.ignore_label
    tally, frames = Tally(classes, void, keep_worst), FramesTally(classes, void)
    with closing(open_artifact(artifact, provider=provider)) as candidate:
        for done, (sample, answers) in enumerate(source.answered(), start=1):
            passes = procedure.passes((sample.image.shape[0], sample.image.shape[1]))
            tally.add(sample, answers, artifact_labels(candidate, sample.image, passes))
            if answers.framed is not None:
                frames.add(sample, answers.framed, candidate.label_frame(sample.image))
            on_image(done, len(source))
        description = candidate.description
    result = _result(tally, manifest, description, setting, gates or Gates())
    if setting.frames is not None:
        result = replace(result, frames=_frames(frames, manifest, description, setting))
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
    }
    rows = [Row(*described[row], scores[row]) for row in range(len(scores))]
    agreement, check = tally.artifact.result(), manifest.verification
    drop = scores[REFERENCE].miou - scores[CANDIDATE].miou
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
        agreement=agreement,
        agreement_isr=tally.isr.result(),
        flips=tally.flips.result(None if check is None else check.tolerance),
        intervals=tally.intervals(),
        intervals_iou=tally.intervals_iou(),
        gates=_gates(gates, drop, agreement.overall),
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
