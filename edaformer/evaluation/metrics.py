"""Segmentation metrics: pure functions on confusion matrices. All results are in points (0..100).

A confusion matrix is int64 (classes, classes): rows are the truth, columns the prediction. It is
summed over the data set first, as the published protocol does; classes that occur neither in the
truth nor in the predictions are left out of the means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]
BAND = 3  # pixels on either side of a boundary


@dataclass(frozen=True)
class Score:
    """The usual figures of one confusion matrix, in points; NaN for an absent class."""

    miou: float
    macc: float
    aacc: float
    iou: tuple[float, ...]


def confusion_matrix(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], num_classes: int, ignore_label: int
) -> Confusion:
    """Count pixels by true and predicted class.

    Args:
        truth: labels, any shape; pixels equal to ``ignore_label`` are not counted.
        predicted: labels of the same shape, below ``num_classes``.
        num_classes: how many classes there are.
        ignore_label: the void label.

    Raises:
        ValueError: if a counted true label, or a predicted one, is no class.
    """
    counted = truth != ignore_label
    rows = truth[counted].astype(np.int64)
    columns = predicted[counted].astype(np.int64)
    for what, labels in (("true", rows), ("predicted", columns)):
        if labels.size and labels.max() >= num_classes:
            raise ValueError(
                f"a {what} label is {labels.max()}, but there are {num_classes} classes"
            )
    pairs = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes).astype(np.int64)


def score(confusion: Confusion) -> Score:
    """mIoU, mAcc, aAcc and per-class IoU of a summed confusion matrix."""
    hits = np.diag(confusion).astype(np.float64)
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    iou = _ratio(hits, truth + predicted - hits)
    accuracy = _ratio(hits, truth)
    return Score(
        miou=_mean(iou),
        macc=_mean(accuracy),
        aacc=float(100 * hits.sum() / max(confusion.sum(), 1)),
        iou=tuple(float(value) for value in iou),
    )


def class_counts(confusion: Confusion) -> Confusion:
    """Hits, true pixels and predicted pixels of every class, (3, classes): all that IoU needs."""
    return np.stack([np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)])


def iou_of_counts(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3, classes) as class_counts gives them -> IoU (..., classes), NaN where absent."""
    hits, truth, predicted = (counts[..., i, :] for i in range(3))
    return _ratio(hits, truth + predicted - hits)


def boundary_band(labels: NDArray[np.uint8], width: int = BAND) -> NDArray[np.bool_]:
    """The pixels within ``width`` of a boundary between labels.

    The two pixels that face each other across a boundary are its first; from there the band grows
    by squares.

    Args:
        labels: (H, W).
        width: pixels on either side, at least 1.
    """
    band = np.zeros(labels.shape, np.bool_)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    band[:, 1:] |= across
    band[:, :-1] |= across
    band[1:] |= down
    band[:-1] |= down
    for axis in (0, 1):
        band = _spread(band, width - 1, axis)
    return band


def _spread(mask: NDArray[np.bool_], reach: int, axis: int) -> NDArray[np.bool_]:
    """Set everything within ``reach`` of what is set, along one axis."""
    source = np.moveaxis(mask, axis, 0)
    made = source.copy()
    for step in range(1, min(reach, len(source) - 1) + 1):
        made[step:] |= source[:-step]
        made[:-step] |= source[step:]
    return np.moveaxis(made, 0, axis)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64 | np.int64]) -> NDArray[np.float64]:
    """100 part / whole, NaN where whole is zero."""
    present = whole > 0
    return np.where(present, 100 * part / np.where(present, whole, 1), np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
