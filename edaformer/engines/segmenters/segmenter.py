"""The contract: uint8 RGB images of one size in, labels out, logits where there are any."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edaformer.evaluation.protocol import Pass, Size, Tile
from edaformer.labels.decide import PassLogits, TileLogits, decide

Images = NDArray[np.uint8]  # RGB (B, H, W, 3)
Labels = NDArray[np.uint8]  # (B, H, W)
Logits = NDArray[np.float32]  # (B, classes, h, w) at 1/8 (1/4, by family) of the size it runs at


class Segmenter(Protocol):
    """Images in, labels out; logits where it has them."""

    description: str  # one line: what computes, in which precision

    @property
    def fill(self) -> tuple[int, int, int]:
        """The pixel for what an image leaves uncovered: the mean colour of its normalisation."""

    def segment(self, images: Images) -> Labels:
        """Labels of every image."""

    def logits(self, images: Images) -> Logits:
        """Logits of every image."""

    def ran_at(self, size: Size) -> Size:
        """The size (H, W) that images of ``size`` are padded to, right and bottom."""

    def close(self) -> None:
        """Give back what it holds."""


def labels_from_logits(logits: Logits, size: Size) -> Labels:
    """Resize (B, classes, h, w) to ``size`` bilinearly with half-pixel centres, then argmax."""
    whole = Tile(0, 0, *size, fed=size)
    unchanged = Pass((size,), flipped=False, tiles=(whole,))
    made = [PassLogits(unchanged, (TileLogits(whole, one, size),)) for one in logits]
    return np.stack([decide((one,), size).labels for one in made])
