"""Logits to labels on a CPU, as edaformer/engines/runtime/kernels/argmax.cuh makes them on a GPU.

Bit for bit the labels of ``geometry.labels_from_logits``, the definition, without interpolating
everything. Between the same four logits a class stays between the least and the greatest of its
four values, so a class whose greatest is below some other's least can never win there. Most places
have one class left; at the others only the classes that are left are interpolated, all places at
once: first everyone's first class, then the second of those that have one, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.geometry import Geometry, Taps, labels_from_logits
from edaformer.labels.no_class import NO_CLASS

_BAND = 1 << 18  # logits looked at in one go: a few arrays of 1 MiB, which stay in the cache
_ROUNDING = np.float32(2**-18)  # of the largest magnitude; five roundings move a value by less
_LEAST = np.finfo(np.float32).tiny  # and this much where products underflow


def upsample_argmax(logits: NDArray[np.floating], geometry: Geometry) -> NDArray[np.uint8]:
    """The greatest class of every frame pixel; the first of equals, and 255 where one is NaN.

    Args:
        logits: float16 or float32 (classes, h, w) over the padded area; at most 256 classes.
        geometry: of the frame.

    Returns:
        uint8 (H, W), at the source size.
    """
    values = np.ascontiguousarray(logits, np.float32)
    classes, height, width = values.shape
    if classes == 1:  # it wins everywhere without being looked at
        return labels_from_logits(values, geometry)[0]
    scale_y, scale_x = geometry.logits_scale((height, width))
    rows = _Tiles.of(Taps.half_pixel(scale_y, geometry.source[0], height), scale_y)
    columns = _Tiles.of(Taps.half_pixel(scale_x, geometry.source[1], width), scale_x)
    labels = np.empty(geometry.source, np.uint8)
    slack = _ROUNDING * np.maximum(values.max(), -values.min()) + _LEAST
    band = max(1, _BAND // (classes * width))
    for first in range(0, height, band):
        part = rows.between(first, first + band)
        if len(part.starts):
            candidates = _candidates(values[:, first : first + band + 1], band, slack)
            end = part.starts[-1] + part.sizes[-1]
            labels[part.starts[0] : end] = _labels(values, candidates, first, part, columns)
    return labels


@dataclass(frozen=True)
class _Tiles:
    """The outputs along one side, in runs of at most ``longest`` that lie between the same inputs.

    Where the border repeats an input, more outputs than ``longest`` do: two tiles.
    """

    taps: Taps
    longest: int
    starts: NDArray[np.intp]  # each one's first output
    sizes: NDArray[np.intp]  # how many outputs it has

    @classmethod
    def of(cls, taps: Taps, scale: float) -> _Tiles:
        longest, count = max(1, int(np.ceil(1 / scale))), len(taps.low)
        outputs = np.arange(count)
        changes = np.append(True, taps.low[1:] != taps.low[:-1])
        behind = outputs - np.maximum.accumulate(np.where(changes, outputs, 0))
        starts = np.flatnonzero(behind % longest == 0)
        return cls(taps, longest, starts, np.diff(np.append(starts, count)))

    @property
    def low(self) -> NDArray[np.int64]:
        """The lower of each one's inputs."""
        return self.taps.low[self.starts]

    def between(self, first: int, end: int) -> _Tiles:
        """Those whose lower input is ``first`` or later, and before ``end``."""
        part = slice(*np.searchsorted(self.low, (first, end)))
        return _Tiles(self.taps, self.longest, self.starts[part], self.sizes[part])

    def weights(self, tiles: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(longest, len(tiles)) each; those past a tile's end are of no consequence."""
        outputs = np.arange(self.longest)[:, None] + self.starts[tiles]
        np.minimum(outputs, len(self.taps.low) - 1, out=outputs)
        return self.taps.low_weight[outputs], self.taps.high_weight[outputs]

    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Of every output: its tile, and how far into it."""
        tile = np.repeat(np.arange(len(self.starts)), self.sizes)
        return tile, np.arange(len(tile)) + self.starts[0] - self.starts[tile]


def _candidates(values: NDArray[np.float32], rows: int, slack: np.float32) -> NDArray[np.bool_]:
    """Which classes can win below and right of each of ``rows`` x w logits; not finite: all can.

    Args:
        values: (classes, rows + 1, w), or without the last row at the lower border.
        rows: of logits.
        slack: more than rounding can move a value.
    """
    if not np.isfinite(slack):
        return np.ones(values[:, :rows].shape, np.bool_)
    least, greatest = (
        _with_next(extreme, _with_next(extreme, values, 2), 1)[:, :rows]
        for extreme in (np.minimum, np.maximum)
    )
    candidates: NDArray[np.bool_] = greatest >= least.max(axis=0) - slack
    return candidates


def _with_next(extreme: np.ufunc, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Every value with its neighbour along ``axis``; the last one with itself."""
    made: NDArray[np.float32] = values.copy()
    source, target = np.moveaxis(values, axis, 0), np.moveaxis(made, axis, 0)
    extreme(source[:-1], source[1:], out=target[:-1])
    return made


def _labels(
    values: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    first: int,
    rows: _Tiles,
    columns: _Tiles,
) -> NDArray[np.uint8]:
    """The outputs of some rows of tiles; ``candidates`` begin at row ``first`` of the logits."""
    width = values.shape[2]
    counts = np.count_nonzero(candidates, axis=0).reshape(-1)
    at = ((rows.low - first)[:, None] * width + columns.low).reshape(-1)
    tiles = np.empty((len(at), rows.longest * columns.longest), np.uint8)
    tiles[...] = candidates.argmax(axis=0).reshape(-1)[at][:, None]
    many = counts[at]
    contested = np.flatnonzero(many > 1)
    if len(contested):
        contested = contested[np.argsort(-many[contested], kind="stable")]
        contest = _Contest.of(values, candidates, counts, first)
        down, across = np.divmod(contested, len(columns.starts))
        made = contest.run(at[contested], rows.weights(down), columns.weights(across))
        tiles[contested] = made.reshape(-1, len(contested)).T
    row, down = rows.places()
    column, across = columns.places()
    start = row * len(columns.starts) * tiles.shape[1] + down * columns.longest
    return tiles.reshape(-1)[start[:, None] + (column * tiles.shape[1] + across)]


@dataclass(frozen=True)
class _Contest:
    """The classes left where there are several, place after place, with their four logits."""

    starts: NDArray[np.intp]  # of each place's classes; no matter where there is one class
    counts: NDArray[np.intp]
    label: NDArray[np.uint8]
    corners: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        candidates: NDArray[np.bool_],
        counts: NDArray[np.intp],
        first: int,
    ) -> _Contest:
        classes, height, width = values.shape
        flat = candidates.reshape(classes, -1)
        places = np.flatnonzero(counts > 1)
        which, label = np.nonzero(flat[:, places].T)
        starts = np.zeros_like(counts)
        starts[places] = np.cumsum(counts[places]) - counts[places]
        place = places[which] + first * width
        here = label * (height * width) + place
        right = here + (place % width < width - 1)
        below = (place < (height - 1) * width) * width
        corners = (here, right, here + below, right + below)
        taken = tuple(values.reshape(-1)[corner] for corner in corners)
        return cls(starts, counts, label.astype(np.uint8), taken)

    def run(
        self,
        places: NDArray[np.intp],
        rows: tuple[NDArray[np.float32], NDArray[np.float32]],
        columns: tuple[NDArray[np.float32], NDArray[np.float32]],
    ) -> NDArray[np.uint8]:
        """Who wins at every pixel of the tiles at ``places``, those with most classes first.

        Returns:
            (a tile's rows, its columns, len(places))
        """
        (top, bottom), (near, far) = rows, columns
        starts, counts = self.starts[places], self.counts[places]
        best = np.full((len(top), len(near), len(places)), -np.inf, np.float32)
        winner = np.zeros(best.shape, np.uint8)
        for turn in range(counts[0]):
            n = int(np.count_nonzero(counts > turn))
            entry = starts[:n] + turn
            a, b, c, d = (corner[entry] for corner in self.corners)
            with np.errstate(invalid="ignore"):  # 0 * inf, as the definition has it
                upper, lower = near[:, :n] * a + far[:, :n] * b, near[:, :n] * c + far[:, :n] * d
                value = top[:, None, :n] * upper + bottom[:, None, :n] * lower
            so_far = best[:, :, :n]
            wins = (value > so_far) | (np.isnan(value) & ~np.isnan(so_far))
            np.copyto(so_far, value, where=wins)
            np.copyto(winner[:, :, :n], self.label[entry], where=wins)
        winner[np.isnan(best)] = NO_CLASS
        return winner
