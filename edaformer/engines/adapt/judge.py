"""mIoU of a checkpoint before and after, on labelled images; nothing is learnt or chosen by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edaformer.data import Dataset
from edaformer.engines.adapt.result import Judged
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.validate.procedure import Procedure, decide_image
from edaformer.evaluation.metrics import confusion_matrix, score
from edaformer.evaluation.protocol import get_protocol
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Judge:
    """Labelled images, evaluated as ``edaformer-tune`` does: whole ones at the deployed size."""

    truth: Dataset
    size: tuple[int, int]  # (H, W), pixels

    def compare(
        self, checkpoint: Checkpoint, adapted: Mapping[str, Tensor], settings: Sequence[ISR]
    ) -> tuple[Judged, ...]:
        """The checkpoint and the weights it became, at every setting."""
        after = replace(checkpoint, state=dict(adapted))
        figures = self._miou([
            TorchSegmenter(network.model(isr), ALIGN)
            for isr in settings for network in (checkpoint, after)
        ])  # fmt: skip
        return tuple(
            Judged(isr, figures[2 * at], figures[2 * at + 1]) for at, isr in enumerate(settings)
        )

    def _miou(self, segmenters: Sequence[TorchSegmenter]) -> list[float]:
        classes, void = len(self.truth.classes), self.truth.ignore_label
        procedure = Procedure(get_protocol(self.truth.protocol), self.size, "resize")
        counts = np.zeros((len(segmenters), classes, classes), np.int64)
        for sample in self.truth:
            height, width = sample.labels.shape
            passes = procedure.passes((height, width))
            for at, segmenter in enumerate(segmenters):
                labels = decide_image(segmenter, sample.image, passes).labels
                counts[at] += confusion_matrix(sample.labels, labels, classes, void)
        return [score(confusion).miou for confusion in counts]
