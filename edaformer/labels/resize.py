"""How a picture becomes another size: one rule for each library whose pixels are wanted.

A rule is a table of integer weights for each side, and how its sums are rounded; rows are made
narrower or wider first, then columns lower or higher. Integers throughout, so every machine makes
the same bytes, with or without the library. The kernels read these very tables and numbers
(engines/runtime/kernels/frame.cuh).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.geometry import Size
from edaformer.preprocess import Resize

Image = NDArray[np.uint8]  # RGB (H, W, 3)
# Of a side, int32 (1 + taps, outputs): the first input that an output is made of, which may lie one
# before the side, and the weights of it and of those behind it; beyond an end it is the end
Table = NDArray[np.int32]
_OPENCV_BITS = 11  # of a weight's fraction: INTER_RESIZE_COEF_BITS
_PILLOW_BITS = 22  # 32, less 8 of a pixel and 2 to spare: PRECISION_BITS


@dataclass(frozen=True)
class Rule:
    """How tables are made, and how sums become bytes again: ``(sum + half) >> shift``."""

    table: Callable[[int, int], Table]  # of inputs and outputs along a side
    row: tuple[int, int]  # half and shift of a row's sum of products
    product_shift: int  # of every product in a column's sum
    column: tuple[int, int]  # half and shift of that


def resize_picture(image: Image, size: Size, rule: Resize) -> Image:
    """uint8 (H, W, 3) -> (height, width, 3) by the rule of this name."""
    if image.shape[:2] == size:
        return image
    how = RULES[rule]
    rows, columns = tables(rule, (image.shape[0], image.shape[1]), size)
    half, shift = how.row
    wide = _sums(image, columns, axis=1) + half >> shift
    half, shift = how.column
    made = _sums(wide, rows, axis=0, product_shift=how.product_shift) + half >> shift
    return made.astype(np.uint8)


def tables(rule: Resize, source: Size, size: Size) -> tuple[Table, Table]:
    """Those of rows and of columns."""
    make = RULES[rule].table
    return make(source[0], size[0]), make(source[1], size[1])


def opencv_bilinear(image: Image, size: Size) -> Image:
    """The bytes of ``cv2.resize(..., INTER_LINEAR)``: OpenCV 3 to 5, with SIMD and without."""
    return resize_picture(image, size, "opencv-bilinear")


def pillow_bilinear(image: Image, size: Size) -> Image:
    """The bytes of ``Image.resize(..., BILINEAR)``: antialiased where a side shrinks."""
    return resize_picture(image, size, "pillow-bilinear")


def _opencv_table(inputs: int, outputs: int) -> Table:
    """Two neighbours of a half-pixel centre, however far apart centres are: no antialiasing."""
    scale = 1.0 / (outputs / inputs)  # as OpenCV has it
    at = ((np.arange(outputs) + 0.5) * scale - 0.5).astype(np.float32)
    low = np.floor(at)
    share, one = at - low, np.float32(1 << _OPENCV_BITS)
    return np.stack([low, np.rint((1 - share) * one), np.rint(share * one)]).astype(np.int32)


def _pillow_table(inputs: int, outputs: int) -> Table:
    """A triangle over as many inputs as an output covers, two where that is less than one."""
    scale = inputs / outputs
    reach = max(scale, 1.0)
    centre = (np.arange(outputs) + 0.5) * scale
    first = np.maximum(centre - reach + 0.5, 0.0).astype(np.int32)
    behind = np.minimum(centre + reach + 0.5, inputs).astype(np.int32)
    places = (first + step for step in range(int((behind - first).max())))
    weights = [
        np.where(at < behind, np.maximum(1 - np.abs((at - centre + 0.5) * (1 / reach)), 0), 0)
        for at in places
    ]
    total = reduce(np.add, weights)  # one after the other: the order of a sum rounds, too
    # each at most half of 2^-22 off: below 16 000 taps no sum of them passes 255, and none is cut
    whole = [(weight / total * (1 << _PILLOW_BITS) + 0.5).astype(np.int32) for weight in weights]
    return np.stack([first, *whole])


def _sums(
    pixels: NDArray[np.integer], table: Table, *, axis: int, product_shift: int = 0
) -> NDArray[np.int32]:
    """Weighted sums along a side, int32."""
    first, *weights = table
    sides = [1, 1, 1]
    sides[axis] = -1
    return reduce(
        np.add,
        (
            pixels.take(first + step, axis, mode="clip") * weight.reshape(sides) >> product_shift
            for step, weight in enumerate(weights)
        ),
    )


RULES: dict[Resize, Rule] = {
    # a row keeps 7 of 11 bits, the two products of a column 2 of 18
    "opencv-bilinear": Rule(_opencv_table, row=(0, 4), product_shift=16, column=(2, 2)),
    "pillow-bilinear": Rule(
        _pillow_table,
        row=(1 << _PILLOW_BITS - 1, _PILLOW_BITS),
        product_shift=0,
        column=(1 << _PILLOW_BITS - 1, _PILLOW_BITS),
    ),
}
