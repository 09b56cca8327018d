"""How often a student says what its teacher said, on frames that nobody learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edaformer.engines.adapt.frames import Frames
from edaformer.engines.segmenters.segmenter import labels_from_logits
from edaformer.families.network import Network
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, network_input

Labels = NDArray[np.uint8]
_ASKED = 64  # frames times settings, beyond which not all frames are asked for
_LEAST = 8  # frames


@dataclass(frozen=True)
class Exam:
    """Frames with the teacher's labels."""

    frames: Frames
    settings: tuple[ISR, ...]
    answers: tuple[Labels, ...]  # (H, W) each

    @classmethod
    def set_by(cls, teacher: Network, frames: Frames, settings: Sequence[ISR]) -> Exam:
        """The teacher answers first, at its own ISR."""
        most = max(_ASKED // len(settings), _LEAST)
        return cls(frames, tuple(settings), tuple(_labels(teacher, frames, most)))

    def agreement(self, student: Network) -> tuple[float, ...]:
        """The fraction of all pixels labelled alike, at each setting."""
        return tuple(self._agreement(student, isr) for isr in self.settings)

    def _agreement(self, student: Network, isr: ISR) -> float:
        student.set_isr(isr)
        pairs = zip(_labels(student, self.frames, len(self.answers)), self.answers, strict=True)
        same = sum(int((own == wanted).sum()) for own, wanted in pairs)
        return same / sum(wanted.size for wanted in self.answers)


@torch.no_grad()
def _labels(model: Network, frames: Frames, most: int) -> Iterator[Labels]:
    """As the deployed network has them: padded to ALIGN, in float32."""
    device = next(model.parameters()).device
    height, width = frames.size
    padded = aligned(frames.size, ALIGN)
    for picture in frames.examples(most):
        given = network_input(picture[None], "tensor", model.normalisation, padded)
        logits = model(torch.from_numpy(given).to(device)).cpu().numpy()
        yield labels_from_logits(logits, padded)[0, :height, :width]
