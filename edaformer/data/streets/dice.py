"""Randomness that is the same everywhere: SplitMix64, as a stream and as noise fields.

`numpy.random` may change its streams between releases and floats differ between libms; 64-bit
integer mixing does neither. Constants are those of SplitMix64 (Steele, Lea, Flood 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_GOLDEN = 0x9E3779B97F4A7C15
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def mix64(value: int) -> int:
    """One SplitMix64 output for the state `value`."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MIX1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX2) & _MASK
    return value ^ (value >> 31)


class Dice:
    """A stream of random integers; two dice with one seed throw the same."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = mix64(seed + _GOLDEN)

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        self._state = (self._state + _GOLDEN) & _MASK
        return ((mix64(self._state) >> 32) * bound) >> 32

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 throws."""
        return self.below(100) < percent

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely."""
        return options[self.below(len(options))]

    def side(self) -> int:
        """-1 (left) or +1 (right)."""
        return self.below(2) * 2 - 1

    def fork(self) -> Dice:
        """Dice of their own, so that what they draw does not move the throws that follow."""
        return Dice(self.below(1 << 32))


def hashed_bytes(seed: int, count: int) -> NDArray[np.uint8]:
    """`count` independent uniform bytes."""
    value: NDArray[np.uint64] = np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN)
    value += np.uint64(mix64(seed))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX2)
    top: NDArray[np.uint64] = value >> np.uint64(56)
    return top.astype(np.uint8)


def smooth_noise(seed: int, height: int, width: int, cell: int) -> NDArray[np.int32]:
    """A 0..255 field of blobs about `cell` pixels wide; it tiles where `cell` divides the size."""
    rows, columns = -(-height // cell), -(-width // cell)
    lattice = hashed_bytes(seed, rows * columns).reshape(rows, columns).astype(np.int32)
    y, x = np.arange(height, dtype=np.int64), np.arange(width, dtype=np.int64)
    top, left = y // cell, x // cell
    down, right = (top + 1) % rows, (left + 1) % columns
    fy = _ease(y % cell, cell)[:, None]
    fx = _ease(x % cell, cell)[None, :]
    upper: NDArray[np.int32] = lattice[top][:, left] * (256 - fx) + lattice[top][:, right] * fx
    lower: NDArray[np.int32] = lattice[down][:, left] * (256 - fx) + lattice[down][:, right] * fx
    mixed: NDArray[np.int32] = (upper * (256 - fy) + lower * fy) >> 16
    return mixed


def _ease(offset: NDArray[np.int64], cell: int) -> NDArray[np.int32]:
    """Smoothstep of offset / cell, in 1/256."""
    eased = 256 * offset * offset * (3 * cell - 2 * offset) // (cell * cell * cell)
    return eased.astype(np.int32)


@lru_cache(maxsize=8)
def cloud_field(seed: int, height: int = 512, width: int = 1024) -> NDArray[np.uint8]:
    """Tiling fractal noise, 0..255."""
    total = np.zeros((height, width), np.int32)
    for octave, weight in enumerate((8, 4, 2, 2)):
        total += weight * smooth_noise(seed + octave, height, width, 128 >> octave)
    return (total >> 4).astype(np.uint8)


@lru_cache(maxsize=8)
def grain(seed: int, size: int = 256) -> NDArray[np.uint8]:
    """Tiling fine-grained noise, 0..255: asphalt, bark, plaster."""
    coarse = smooth_noise(seed, size, size, 8)
    fine = hashed_bytes(seed + 1, size * size).reshape(size, size).astype(np.int32)
    wide = smooth_noise(seed + 2, size, size, 64)
    return ((coarse + fine + 2 * wide) >> 2).astype(np.uint8)
