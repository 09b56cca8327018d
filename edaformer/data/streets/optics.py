"""Camera, light, and the canvas: where codes become pixels.

A canvas pixel is one 32-bit word whose bytes are red, green, blue and label, so that one table
look-up and one masked copy paint the picture and its labels together and they cannot disagree.
World units are centimetres: x to the right of the road's middle, z ahead of the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edaformer.data.streets.raster import GAP, Codes, Sprite

Pixels: TypeAlias = NDArray[np.uint32]
Colour: TypeAlias = tuple[int, int, int]

FAR = 30000
_BEND_UNIT = 10_000_000
# Brightness is kept inside this range so that the sensor noise added at the end cannot wrap round.
DARKEST, BRIGHTEST = 14, 240


def word(red: int, green: int, blue: int, label: int) -> np.uint32:
    """A canvas pixel, whatever the machine's byte order."""
    packed: Pixels = np.array([red, green, blue, label], np.uint8).view(np.uint32)
    pixel: np.uint32 = packed[0]
    return pixel


COLOUR_BITS = word(255, 255, 255, 0)
LABEL_BITS = word(0, 0, 0, 255)
_HALF_BITS = word(127, 127, 127, 0)
_QUARTER_BITS = word(63, 63, 63, 0)


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera above a road that bends sideways by `bend` * z² / 10⁷."""

    height: int  # pixels
    width: int
    focal: int
    horizon: int  # row
    vanish: int  # column
    eye: int  # cm above the ground
    shift: int  # cm right of the road's middle
    bend: int

    def column(self, x: int, z: int) -> int:
        """Where a place is seen sideways."""
        sideways = self.focal * self.bend * z // _BEND_UNIT
        return self.vanish + self.focal * (x - self.shift) // z + sideways

    def columns(self, x: int, z: NDArray[np.int64]) -> NDArray[np.int64]:
        """`column` for many depths."""
        sideways = self.focal * self.bend * z // _BEND_UNIT
        return self.vanish + self.focal * (x - self.shift) // z + sideways

    def row(self, z: int) -> int:
        """Where the ground at depth z is seen."""
        return self.horizon + self.focal * self.eye // z

    def per_metre(self, z: int) -> int:
        """Pixels of one metre at depth z, in 1/256 pixel."""
        return self.focal * 25600 // z


@dataclass(frozen=True)
class Light:
    """The weather and the hour, as what they do to a colour."""

    tint: Colour  # gain of each channel, 256 is neutral
    contrast: int  # brightness between two levels, 1/256
    fog: Colour
    fog_depth: int  # cm at which half of a colour is fog
    sun: int  # -1 left, +1 right
    sunny: bool
    wet: bool

    def fogged(self, z: int) -> int:
        """Share of fog in a colour seen at depth z, in 1/256."""
        return 256 * z // (z + self.fog_depth)

    def gains(self) -> NDArray[np.int32]:
        """(16 levels, 3 channels) in 1/256."""
        level = 256 + (np.arange(16, dtype=np.int32) - 8) * self.contrast
        return np.maximum(level, 40)[:, None] * np.array(self.tint, np.int32)[None, :] >> 8


class Canvas:
    """The picture being painted, far things first."""

    def __init__(self, camera: Camera, light: Light) -> None:
        self.camera = camera
        self.light = light
        self.pixels: Pixels = np.empty((camera.height, camera.width), np.uint32)
        self._gains = light.gains()
        self._fog = np.array(light.fog, np.int32)

    def table(
        self, colours: Sequence[Colour], labels: Sequence[int] | int, z: int, lit: int = 256
    ) -> Pixels:
        """Packed pixels for every code of an object at depth z; part p has colours[p - 1].

        `lit` scales brightness in 1/256, for walls turned to or from the sun.
        """
        parts = len(colours)
        base = np.array(colours, np.int32)[:, None, :]
        shaded = base * (self._gains[None] * lit >> 8) >> 8
        shaded += (self._fog - shaded) * self.light.fogged(z) >> 8
        packed = np.zeros((parts + 1, 16, 4), np.uint8)
        packed[1:, :, :3] = np.clip(shaded, DARKEST, BRIGHTEST)
        packed[1:, :, 3] = np.asarray(labels, np.uint8).reshape(-1, 1)
        return packed.view(np.uint32).reshape(-1)

    def stamp(
        self, sprite: Sprite, x: int, bottom: int, scale: int, table: Pixels, *, flip: bool = False
    ) -> None:
        """Paint a sprite with its anchor at column x, standing on row `bottom`.

        `scale` is pixels a metre in 1/256. Gaps take the label of the table's first colour.
        """
        height, width = sprite.codes.shape
        tall = max(height * scale // (sprite.per_metre * 256), 1)
        wide = max(width * scale // (sprite.per_metre * 256), 1)
        anchor = (width - sprite.anchor if flip else sprite.anchor) * wide // width
        rows = _samples(bottom - tall, tall, height, self.camera.height)
        columns = _samples(x - anchor, wide, width, self.camera.width)
        if rows is None or columns is None:
            return
        across = width - 1 - columns[1] if flip else columns[1]
        codes = sprite.codes.take(rows[1], axis=0).take(across, axis=1)
        window = self.pixels[rows[0], columns[0]]
        self.blend(window, codes, table, gaps=sprite.gaps)

    @staticmethod
    def blend(window: Pixels, codes: Codes, table: Pixels, *, gaps: bool) -> None:
        """Paint codes over a part of the canvas."""
        if gaps:
            seen_through = (window & COLOUR_BITS) | (table[16] & LABEL_BITS)
            np.copyto(window, seen_through, where=codes == GAP)
        np.copyto(window, table.take(codes), where=codes > GAP)

    def shade(self, x: int, y: int, wide: int, tall: int, depth: int = 2) -> None:
        """Darken an ellipse on the ground: what stands there keeps the light away."""
        top, bottom = max(y - tall, 0), min(y + tall + 1, self.camera.height)
        left, right = max(x - wide, 0), min(x + wide + 1, self.camera.width)
        if top >= bottom or left >= right or not wide or not tall:
            return
        dy = np.arange(top - y, bottom - y, dtype=np.int64)[:, None]
        dx = np.arange(left - x, right - x, dtype=np.int64)[None, :]
        distance = dx * dx * (tall * tall) + dy * dy * (wide * wide)
        edge = wide * wide * tall * tall
        window = self.pixels[top:bottom, left:right]
        np.copyto(window, dimmed(window), where=distance <= edge)
        for _ in range(depth - 1):
            np.copyto(window, dimmed(window), where=2 * distance <= edge)


def dimmed(pixels: Pixels) -> Pixels:
    """Pixels darkened by a quarter; labels stay."""
    dim: Pixels = pixels - ((pixels >> np.uint32(2)) & _QUARTER_BITS)
    return dim


def averaged(first: Pixels, second: Pixels) -> Pixels:
    """Bytewise mean of two pictures, rounded down; the label bytes become those both share."""
    mean: Pixels = (first & second) + (((first ^ second) >> np.uint32(1)) & _HALF_BITS)
    return mean


def _samples(
    start: int, length: int, source: int, limit: int
) -> tuple[slice, NDArray[np.int64]] | None:
    """The part of [start, start + length) inside [0, limit), and the source index of each pixel."""
    first, last = max(start, 0), min(start + length, limit)
    if first >= last:
        return None
    offset = np.arange(first - start, last - start, dtype=np.int64)
    return slice(first, last), (2 * offset + 1) * source // (2 * length)
