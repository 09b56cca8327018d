"""How a picture becomes another size: one definition for each library whose pixels are wanted.

Integers throughout, so every machine makes the same bytes, with or without the library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.geometry import Size

Image = NDArray[np.uint8]  # RGB (H, W, 3)
_BITS = 11  # of OpenCV's weights: INTER_RESIZE_COEF_BITS


def opencv_bilinear(image: Image, size: Size) -> Image:
    """uint8 (H, W, 3) -> (height, width, 3): the bytes of ``cv2.resize(..., INTER_LINEAR)``.

    Half-pixel centres, no antialiasing, weights of 11 bits; rows first, which keep 7 bits of
    fraction, then columns (OpenCV 3 to 5, its SIMD and its plain form alike).
    """
    if image.shape[:2] == size:
        return image
    above, below, upper, lower = _taps(image.shape[0], size[0])
    left, right, near, far = _taps(image.shape[1], size[1])
    pixels = image.astype(np.int32)
    wide = (pixels[:, left] * near[:, None] + pixels[:, right] * far[:, None]) >> 4
    sums = (wide[above] * upper[:, None, None] >> 16) + (wide[below] * lower[:, None, None] >> 16)
    return (sums + 2 >> 2).astype(np.uint8)


def _taps(inputs: int, outputs: int) -> tuple[NDArray[np.int32], ...]:
    """For every output along a side: two inputs, and their weights in 2048ths."""
    scale = 1.0 / (outputs / inputs)  # as OpenCV has it
    at = ((np.arange(outputs) + 0.5) * scale - 0.5).astype(np.float32)
    low = np.floor(at)
    share = at - low
    one = np.float32(1 << _BITS)
    weights = np.rint((np.float32(1) - share) * one), np.rint(share * one)
    places = (np.clip(low + step, 0, inputs - 1) for step in (0, 1))
    return tuple(made.astype(np.int32) for made in (*places, *weights))
