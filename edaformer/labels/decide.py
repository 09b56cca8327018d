"""From logits to labels: resize as the release does, average, and let the largest class win.

Works class by class on planes of the image's size, so that 150 classes at 1024x2048 take a few
planes and not gigabytes. Resizes are labels.geometry's, the same on every machine.

    logits at 1/8 -> the size the network ran at -> cropped to what was valid -> windows averaged
    -> the image's size -> (several passes: mean of the classes' probabilities) -> argmax
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from edaformer.evaluation.protocol import Pass, Size, Tile
from edaformer.labels.geometry import bilinear
from edaformer.labels.no_class import NO_CLASS

Plane = NDArray[np.float32]  # (H, W)
Logits = NDArray[np.float32]  # (classes, h, w)
_TINY = 1e-30  # keeps the logarithm of a probability finite


@dataclass(frozen=True)
class TileLogits:
    """What the network made of a tile."""

    tile: Tile
    logits: Logits
    ran_at: Size  # the tile's fed size with the graph's own padding


@dataclass(frozen=True)
class PassLogits:
    """What the network made of one resized image."""

    made_for: Pass
    tiles: tuple[TileLogits, ...]

    def plane(self, label: int, size: Size) -> Plane:
        """The logits of one class at ``size`` (H, W)."""
        whole = _averaged(self.made_for, self.tiles, label)
        if self.made_for.flipped:
            whole = np.ascontiguousarray(whole[:, ::-1])
        return bilinear(whole, size)


@dataclass(frozen=True)
class Decision:
    """Labels, and how clearly they won."""

    labels: NDArray[np.uint8]  # (H, W)
    margin: NDArray[np.float16]  # best less second-best logit; several passes: of log probability

    def margin_bytes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The margins as two planes that compress well: low and high bytes, lossless.

        Margins are smooth: their bit patterns become differences along a row, which halves them
        (263 KB of 360x480 deflate to 137).
        """
        patterns = self.margin.view(np.uint16)
        steps = patterns.copy()
        steps[:, 1:] -= patterns[:, :-1]  # modulo 65536
        return (steps & 0xFF).astype(np.uint8), (steps >> 8).astype(np.uint8)

    @classmethod
    def of_bytes(
        cls, labels: NDArray[np.uint8], low: NDArray[np.uint8], high: NDArray[np.uint8]
    ) -> Self:
        """From labels and what margin_bytes gave; all (H, W)."""
        steps = (high.astype(np.uint16) << 8) | low
        return cls(labels, np.cumsum(steps, axis=1, dtype=np.uint16).view(np.float16))


def decide(passes: tuple[PassLogits, ...], size: Size) -> Decision:
    """The winning class of every pixel, the first one where two are equal; 255 where one is NaN.

    Args:
        passes: at least one.
        size: (H, W) of the image.
    """
    classes = len(passes[0].tiles[0].logits)
    if len(passes) == 1:
        planes = (passes[0].plane(label, size) for label in range(classes))
    else:
        norms = [_log_sum_exp(one, classes, size) for one in passes]
        planes = (_log_mean(passes, norms, label, size) for label in range(classes))
    best, second = next(planes), np.full(size, -np.inf, np.float32)
    labels = np.zeros(size, np.uint8)
    for label, plane in enumerate(planes, start=1):
        higher = plane > best
        np.maximum(second, np.minimum(best, plane), out=second)
        np.maximum(best, plane, out=best)
        labels[higher] = label
    labels[np.isnan(best)] = NO_CLASS
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # a margin beyond half precision's range is infinite
        return Decision(labels, (best - second).astype(np.float16))


def _averaged(made_for: Pass, tiles: tuple[TileLogits, ...], label: int) -> Plane:
    """One class on the resized image, overlapping windows averaged."""
    if len(tiles) == 1 and (tiles[0].tile.height, tiles[0].tile.width) == made_for.size:
        return _valid(tiles[0], label)
    total, count = np.zeros(made_for.size, np.float32), np.zeros(made_for.size, np.float32)
    for one in tiles:
        tile = one.tile
        place = np.s_[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        total[place] += _valid(one, label)
        count[place] += 1
    return total / count


def _valid(one: TileLogits, label: int) -> Plane:
    """One class of a tile at the size it ran at, cropped to the image's part."""
    plane = bilinear(one.logits[label], one.ran_at)
    return np.ascontiguousarray(plane[: one.tile.height, : one.tile.width])


def _log_sum_exp(one: PassLogits, classes: int, size: Size) -> Plane:
    """The softmax's denominator, as a logarithm, in one sweep over the classes."""
    largest, total = np.full(size, -np.inf, np.float32), np.zeros(size, np.float32)
    for label in range(classes):
        plane = one.plane(label, size)
        higher = np.maximum(largest, plane)
        total = total * np.exp(largest - higher) + np.exp(plane - higher)
        largest = higher
    return np.asarray(largest + np.log(total), np.float32)


def _log_mean(passes: tuple[PassLogits, ...], norms: list[Plane], label: int, size: Size) -> Plane:
    """The logarithm of a class's mean probability over the passes."""
    total = np.zeros(size, np.float32)
    for one, norm in zip(passes, norms, strict=True):
        total += np.exp(one.plane(label, size) - norm)
    return np.asarray(np.log(total / len(passes) + np.float32(_TINY)), np.float32)
