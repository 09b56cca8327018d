"""Where a label comes from: the one definition that every runner follows.

    frame (source size) -> resize -> valid area -> pad right and bottom -> network -> logits at 1/8
    logits -> upsample to the padded area -> crop to the valid area -> resize to the source size

The frame is resized by the rule of labels/resize.py that the artifact names. The last three are one
half-pixel map, and the logits are sampled once: source row r lies at row
(r + 0.5) * valid / source of the valid area, which opens the padded area, and a logit row covers
padded / h of its rows. So the logits are read at scale * (r + 0.5) - 0.5 with scale =
(h * valid) / (padded * source), bilinearly, and the greatest class is the label. Where source and
valid size are equal this is PyTorch's ``interpolate(align_corners=False)``, crop and ``argmax``.

What is here is NumPy in float32, operation by operation as in engines/runtime/kernels: the kernels'
results are these, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.no_class import NO_CLASS

if TYPE_CHECKING:
    from edaformer.manifest import InputSpec

Size = tuple[int, int]  # (height, width) in pixels
_ROWS = 64  # of labels made at a time: classes x height x width is never held


@dataclass(frozen=True)
class Geometry:
    """The three sizes between which a frame and its labels move."""

    source: Size  # of the frame, and of its labels
    valid: Size  # the part of the network's input that shows the frame
    padded: Size  # the area that the logits cover

    @classmethod
    def of_input(cls, spec: InputSpec, source: Size) -> Geometry:
        """A frame at an artifact's input.

        An input of dynamic size runs at the frame's own, rounded up to a multiple of 32.
        """
        valid = source if spec.dynamic_size else (spec.height, spec.width)
        return cls(source, valid, spec.ran_at(valid))

    def logits_scale(self, logits: Size) -> tuple[float, float]:
        """The step, in logits, of one pixel of the frame; ``logits`` is their (h, w)."""
        return (
            _ratio(logits[0] * self.valid[0], self.padded[0] * self.source[0]),
            _ratio(logits[1] * self.valid[1], self.padded[1] * self.source[1]),
        )

    def labels_scale(self) -> tuple[float, float]:
        """Valid over source size: the step, in labels at the valid size, of one frame pixel."""
        return _ratio(self.valid[0], self.source[0]), _ratio(self.valid[1], self.source[1])


@dataclass(frozen=True)
class Taps:
    """For every output along one side: the two inputs it lies between, and their weights."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    low_weight: NDArray[np.float32]
    high_weight: NDArray[np.float32]

    @classmethod
    def half_pixel(cls, scale: float, outputs: int, size: int) -> Taps:
        """Outputs 0 to ``outputs`` - 1 at ``scale`` * (o + 0.5) - 0.5 of ``size`` inputs."""
        centre = np.arange(outputs, dtype=np.float32) + np.float32(0.5)
        at = np.maximum(np.float32(scale) * centre - np.float32(0.5), np.float32(0))
        low = np.minimum(at, np.float32(size - 1)).astype(np.int64)
        weight = np.minimum(at - low.astype(np.float32), np.float32(1))
        return cls(low, np.minimum(low + 1, size - 1), np.float32(1) - weight, weight)

    def __getitem__(self, part: slice) -> Taps:
        return Taps(self.low[part], self.high[part], self.low_weight[part], self.high_weight[part])


def labels_from_logits(
    logits: NDArray[np.floating], geometry: Geometry
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Upsample and argmax.

    Args:
        logits: float16 or float32 (classes, h, w) over the padded area; at most 256 classes.
        geometry: of the frame.

    Returns:
        Labels uint8 and top-2 margins float32 (infinite where there is one class), both at the
        source size. The first of equal classes wins; where a class is NaN the label is 255.
    """
    classes, *size = logits.shape
    scale_y, scale_x = geometry.logits_scale((size[0], size[1]))
    y = Taps.half_pixel(scale_y, geometry.source[0], size[0])
    x = Taps.half_pixel(scale_x, geometry.source[1], size[1])
    labels = np.empty(geometry.source, np.uint8)
    margin = np.empty(geometry.source, np.float32)
    for row in range(0, geometry.source[0], _ROWS):
        part = slice(row, row + _ROWS)
        values = (_bilinear(logits[index], y[part], x) for index in range(classes))
        labels[part], margin[part] = _top_two(values, labels[part].shape)
    return labels, margin


def bilinear(plane: NDArray[np.floating], size: Size) -> NDArray[np.float32]:
    """(h, w) -> float32 (height, width): PyTorch's ``interpolate(align_corners=False)``.

    Where no side changes this is the plane itself.
    """
    if plane.shape == size:
        return np.asarray(plane, np.float32)
    y, x = (
        Taps.half_pixel(_ratio(own, wanted), wanted, own)
        for own, wanted in zip(plane.shape, size, strict=True)
    )
    return _bilinear(plane, y, x)


def resize_labels(labels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """uint8 (H, W) -> uint8 (height, width): PyTorch's ``nearest-exact``."""
    rows, columns = (_nearest(s, o) for s, o in zip(labels.shape, size, strict=True))
    return labels[rows[:, None], columns]


def _ratio(numerator: int, denominator: int) -> float:
    """As the one float32 that kernels and NumPy multiply with."""
    return float(np.float32(numerator / denominator))


def _bilinear(plane: NDArray[np.generic], y: Taps, x: Taps) -> NDArray[np.float32]:
    """(h, w) -> (len(y), len(x)): along rows first, and those rows alone that are needed."""
    first = int(y.low[0])
    rows = plane[first : int(y.high[-1]) + 1].astype(np.float32)
    with np.errstate(invalid="ignore"):  # 0 * inf, as the kernels have it
        wide = x.low_weight * rows[:, x.low] + x.high_weight * rows[:, x.high]
        made: NDArray[np.float32] = wide[y.low - first]
        made *= y.low_weight[:, None]
        below = wide[y.high - first]
        below *= y.high_weight[:, None]
        made += below
    return made


def _top_two(
    values: Iterable[NDArray[np.float32]], shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The class of the greatest value, and how far the next one is behind."""
    best = np.full(shape, -np.inf, np.float32)
    second = best.copy()
    label = np.zeros(shape, np.uint8)
    for index, value in enumerate(values):
        wins = (value > best) | (np.isnan(value) & ~np.isnan(best))
        second = np.where(wins, best, np.where(value > second, value, second))
        best = np.where(wins, value, best)
        label[wins] = index
    label[np.isnan(best)] = NO_CLASS
    with np.errstate(invalid="ignore"):  # inf - inf
        return label, best - second


def _nearest(size: int, outputs: int) -> NDArray[np.int64]:
    centre = np.arange(outputs, dtype=np.float32) + np.float32(0.5)
    at: NDArray[np.int64] = (centre * np.float32(_ratio(size, outputs))).astype(np.int64)
    return at.clip(max=size - 1)
