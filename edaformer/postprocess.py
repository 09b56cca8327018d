"""How logits become labels, in NumPy: bilinear resize (half-pixel centres), then argmax, then crop.

The resized logits are never made. Between four neighbouring logits every value is a weighted mean
of theirs, so a class that wins at all four corners wins everywhere between them. Only pixels whose
corners disagree, a fifth of a street scene, are interpolated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 21  # values interpolated at a time: a few MiB, which stay in the cache


def labels_from_logits(
    logits: NDArray[np.float32], size: tuple[int, int], valid: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Labels of every image; equal to PyTorch's up to ties in float32.

    Args:
        logits: (B, classes, h, w), at most 256 classes.
        size: (H, W) that the logits are resized to.
        valid: the part that is kept, from the top left; None keeps all.

    Returns:
        (B, *valid)
    """
    valid = valid or size
    return np.stack([_labels(image, size, valid) for image in logits])


def _labels(
    logits: NDArray[np.float32], size: tuple[int, int], valid: tuple[int, int]
) -> NDArray[np.uint8]:
    grid = np.ascontiguousarray(logits.transpose(1, 2, 0))  # (h, w, classes)
    (top, below, down), (left, beside, across) = (
        _taps(target, source, kept)
        for target, source, kept in zip(size, grid.shape[:2], valid, strict=True)
    )
    winner = grid.argmax(axis=2).astype(np.uint8)
    labels: NDArray[np.uint8] = winner[top][:, left]
    rows, columns = np.nonzero(_mixed(winner)[top][:, left])
    chunk = max(1, _CHUNK // grid.shape[2])
    for start in range(0, len(rows), chunk):
        y, x = rows[start : start + chunk], columns[start : start + chunk]
        dy, dx = down[y][:, None], across[x][:, None]
        upper = _between(grid[top[y], left[x]], grid[top[y], beside[x]], dx)
        lower = _between(grid[below[y], left[x]], grid[below[y], beside[x]], dx)
        labels[y, x] = _between(upper, lower, dy).argmax(axis=1)
    return labels


def _taps(
    target: int, source: int, kept: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each kept place along one axis: the two source places and the second one's weight."""
    scale = np.float32(source / target)
    at = np.maximum((np.arange(kept, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5),
                    np.float32(0))  # fmt: skip
    first = at.astype(np.int64)
    return first, np.minimum(first + 1, source - 1), at - first.astype(np.float32)


def _mixed(winner: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a place, its right, its lower and its diagonal neighbour are not of one class."""
    around = np.pad(winner, ((0, 1), (0, 1)), mode="edge")
    mixed: NDArray[np.bool_] = (
        (winner != around[1:, :-1]) | (winner != around[:-1, 1:]) | (winner != around[1:, 1:])
    )
    return mixed


def _between(
    first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    return first * (1 - weight) + second * weight
