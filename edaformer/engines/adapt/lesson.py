"""What is drawn for a step: frames, crops, mirrors, and the ISR to learn.

A draw depends on the seed and the step alone, so that a run that was cut goes on as if it had not
been. Half of the pictures are whole frames, padded as they will be when deployed, so that the
poolings' borders are those of deployment; the others are larger and cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edaformer.engines.adapt.frames import Frames
from edaformer.isr import ISR
from edaformer.labels.resize import opencv_bilinear
from edaformer.media.frames import Pixels

_LARGEST = 1.2  # of the frame's sides: what is said of them may change with their size


@dataclass(frozen=True)
class Lesson:
    """One picture, and the ISR at which it is learnt."""

    picture: Pixels  # (H, W, 3), the crop's size; filled with ``fill`` where it is smaller
    isr: ISR


@dataclass(frozen=True)
class Draw:
    """How lessons are drawn."""

    seed: int
    batch: int
    crop: tuple[int, int]  # (H, W), multiples of 32
    settings: Sequence[ISR]
    fill: tuple[int, int, int]

    def lessons(self, frames: Frames, step: int) -> list[Lesson]:
        """Those of a step."""
        random = np.random.default_rng([self.seed, step])
        at = random.integers(len(frames.learnt), size=self.batch)
        isr = random.permutation(len(self.settings))
        return [
            Lesson(
                self._picture(frames.lesson(int(one)), random),
                self.settings[int(isr[number % len(isr)])],
            )
            for number, one in enumerate(at)
        ]

    def _picture(self, frame: Pixels, random: np.random.Generator) -> Pixels:
        if random.random() < 0.5:
            frame = frame[:, ::-1]
        if random.random() < 0.5:
            factor = random.uniform(1.0, _LARGEST)
            height, width = (round(side * factor) for side in frame.shape[:2])
            frame = opencv_bilinear(frame, (height, width))
        spare = (max(own - crop, 0) for own, crop in zip(frame.shape, self.crop, strict=False))
        top, left = (int(random.integers(room + 1)) for room in spare)
        made = np.empty((*self.crop, 3), np.uint8)
        made[:] = self.fill
        part = frame[top : top + self.crop[0], left : left + self.crop[1]]
        made[: part.shape[0], : part.shape[1]] = part
        return made
