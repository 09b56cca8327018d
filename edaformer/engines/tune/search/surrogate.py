"""A guess at what a setting costs in accuracy, from those that were tried.

Linear in the places' ratios and in pairs of places, fitted with a ridge: what places cost adds up
to a first approximation, and the pairs take what it misses. It only says where to look; no figure
that is shown comes from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RIDGE = 0.3  # of a coefficient in points of mIoU, against noise of the same order
_FLOOR = 0.02  # points: no guess is better than this


@dataclass(frozen=True)
class Guess:
    """Of every setting's drop against base, in points."""

    drop: NDArray[np.float64]
    error: float  # root mean square, left one out


def guess(
    features: NDArray[np.float64], tried: NDArray[np.intp], drop: NDArray[np.float64]
) -> Guess:
    """Fit ``drop`` (points, of the settings ``tried``) and predict all; base's features are 0."""
    x = features[tried]
    inverse = np.linalg.inv(x.T @ x + _RIDGE * np.eye(x.shape[1]))
    weights = inverse @ x.T @ drop
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    left_out = (drop - x @ weights) / np.maximum(1 - leverage, 1e-3)
    error = max(float(np.sqrt(np.mean(left_out**2))), _FLOOR)
    return Guess(features @ weights, error)
