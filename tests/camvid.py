"""CamVid, and what PyTorch makes of it: computed once a run, kept as validation keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edaformer.data import Dataset, open_dataset
from edaformer.data.archive import image_sha256
from edaformer.engines.validate.pytorch import Reference
from edaformer.engines.validate.reference_cache import ReferenceCache, default_folder
from edaformer.evaluation.metrics import Score, confusion_matrix, score
from edaformer.evaluation.protocol import get_protocol, plan_passes
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from tests.once import once

SIZE = (360, 480)


def dataset(camvid: Path) -> Dataset:
    """All 101 images."""
    return open_dataset(f"camvid:{camvid}", SIZE)


def cache() -> ReferenceCache:
    """The one that edaformer-validate uses; of this run alone (tests/conftest.py)."""
    return ReferenceCache(default_folder())


def pytorch_score(checkpoint: Checkpoint, isr: str, align: int | None, data: Dataset) -> Score:
    """Of PyTorch float32, padded to multiples of ``align``."""
    setting = ISR.parse(isr, checkpoint.places)
    reference = Reference.of(checkpoint, setting, align, cache())
    passes = plan_passes(get_protocol("native"), SIZE, SIZE)
    total = sum(
        confusion_matrix(
            sample.labels,
            reference.decide(sample.image, image_sha256(sample.image), passes).labels,
            len(data.classes),
            data.ignore_label,
        )
        for sample in data
    )
    return score(np.asarray(total))


def exported(shared: Path, checkpoint: Checkpoint, isr: str) -> ExportResult:
    """The default export at 360x480, made once a run."""
    setting = ISR.parse(isr, checkpoint.places)
    path = shared / f"camvid_{checkpoint.variant.name}_{setting.slug}.onnx"
    options = ExportOptions(isr=setting, size=SIZE)
    return once(shared, path.name, lambda: export_model(checkpoint, options, path))
