"""Random frames' geometries and logits that are hard to label right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.geometry import Geometry

Rng = np.random.Generator
LOGITS = ("smooth", "noise", "ties", "a rounding apart", "half", "not finite", "far apart")


def random_geometry(rng: Rng) -> tuple[Geometry, tuple[int, int]]:
    """Some sizes, and the logits': scales up and down, odd sides, single pixels, with padding."""
    logits = (int(rng.integers(1, 18)), int(rng.integers(1, 18)))
    padded = (8 * logits[0], 8 * logits[1])
    least = (max(1, padded[0] - 31), max(1, padded[1] - 31))
    valid = tuple(int(rng.integers(a, b + 1)) for a, b in zip(least, padded, strict=True))
    source = tuple(int(rng.integers(1, 2 * side + 2)) for side in padded)
    kind = rng.integers(4)
    if kind == 0:
        source = valid
    elif kind == 1:
        source = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    # given as many outputs as inputs, PyTorch copies, whatever scale it is told
    source = tuple(s + 1 if s == n else s for s, n in zip(source, logits, strict=True))
    return Geometry(source, (valid[0], valid[1]), padded), logits  # type: ignore[arg-type]


def random_logits(rng: Rng, kind: str, shape: tuple[int, int, int, int]) -> NDArray[np.floating]:
    """(images, classes, h, w) of one of LOGITS."""
    logits = rng.standard_normal(shape).astype(np.float32)
    if kind == "smooth":
        logits = np.sort(logits, axis=-1) + 3 * rng.standard_normal((*shape[:2], 1, 1))
    elif kind == "ties":
        logits = np.round(logits)
    elif kind == "a rounding apart":  # in most cells even the order of bounds would mislead
        steps = rng.integers(0, 4, (*shape[:2], 1, 1)) * 2.0**-23
        logits = np.broadcast_to(rng.uniform(1, 2) * (1 + steps), shape)
    elif kind == "far apart":
        logits *= 10.0 ** rng.integers(-40, 38, shape)
    elif kind == "not finite":
        for value in (np.inf, -np.inf, np.nan):
            logits[rng.random(shape) < 0.03] = value
    return np.ascontiguousarray(logits, np.float16 if kind == "half" else np.float32)
