"""Shapes drawn into indexed-colour pictures ("codes"), the form all artwork is kept in.

A code is one byte, part * 16 + level. The part says what is painted (skin, glass, tyre), the level
how much light falls on it (8 is neutral). Colours come later, by a table of 256 packed pixels for
each object in each scene: one drawing serves any number of colours, lights and depths.
Coordinates are in 1/16 pixel; a pixel is filled where its centre lies inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.uint8]
Point: TypeAlias = tuple[int, int]

SUB = 16
CLEAR = 0  # nothing here: what lies behind shows
GAP = 1  # what lies behind shows, yet the label is the object's (between railings, in a wheel)
NEUTRAL = 8


@dataclass(frozen=True)
class Sprite:
    """A drawing standing on its last row; `anchor` is the column above its place on the ground."""

    codes: Codes
    per_metre: int
    anchor: int
    gaps: bool = False


def code(part: int, level: int = NEUTRAL) -> int:
    """The code of a part under a light; levels past the ends are cut."""
    return part * 16 + min(max(level, 0), 15)


def sine(degrees: int, scale: int) -> int:
    """`scale` * sin, by Bhaskara's rational formula (0.2 % off at most): integers only."""
    degrees %= 360
    if degrees > 180:
        return -sine(degrees - 180, scale)
    hump = degrees * (180 - degrees)
    return 4 * hump * scale // (40500 - hump)


def cosine(degrees: int, scale: int) -> int:
    """`scale` * cos, as exact as `sine`."""
    return sine(degrees + 90, scale)


def _window(
    codes: Codes, left: int, top: int, right: int, bottom: int
) -> tuple[slice, slice] | None:
    """The pixels whose centres can lie in a box given in 1/16 pixel."""
    x0, x1 = max(left // SUB, 0), min(right // SUB + 1, codes.shape[1])
    y0, y1 = max(top // SUB, 0), min(bottom // SUB + 1, codes.shape[0])
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def _centres(span: slice) -> NDArray[np.int64]:
    return np.arange(span.start, span.stop, dtype=np.int64) * SUB + SUB // 2


def polygon(codes: Codes, points: Sequence[Point], fill: int) -> None:
    """Even-odd fill of a closed polygon."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    window = _window(codes, min(xs), min(ys), max(xs), max(ys))
    if window is None:
        return
    y, x = _centres(window[0]), _centres(window[1])[None, :]
    inside = np.zeros((y.size, x.size), np.bool_)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 == y1:
            continue
        crossed = (y0 > y) != (y1 > y)
        meeting = x0 + (x1 - x0) * (y - y0) // (y1 - y0)
        inside ^= crossed[:, None] & (x < meeting[:, None])
    codes[window][inside] = fill


def box(codes: Codes, edges: tuple[int, int, int, int], fill: int) -> None:
    """Fill of whole pixels; `edges` are left, top, right, bottom, the last two not included."""
    left, top, right, bottom = edges
    codes[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = fill


def ellipse(
    codes: Codes, centre: Point, radii: Point, part: int, *, level: int = NEUTRAL, swing: int = 0
) -> None:
    """A filled ellipse; `swing` is how many levels it loses from its left edge to its right."""
    (cx, cy), (rx, ry) = centre, radii
    window = _window(codes, cx - rx, cy - ry, cx + rx, cy + ry)
    if window is None or rx <= 0 or ry <= 0:
        return
    dx, dy = _centres(window[1])[None, :] - cx, _centres(window[0])[:, None] - cy
    inside = dx * dx * ry * ry + dy * dy * rx * rx <= rx * rx * ry * ry
    shade = np.clip(level - dx * swing // (2 * rx), 0, 15) + part * 16
    codes[window][inside] = np.broadcast_to(shade, inside.shape)[inside]


def ring(codes: Codes, centre: Point, radius: int, thickness: int, fill: int) -> None:
    """A circle's outline; its inside becomes a gap."""
    cx, cy = centre
    window = _window(codes, cx - radius, cy - radius, cx + radius, cy + radius)
    if window is None:
        return
    dx, dy = _centres(window[1])[None, :] - cx, _centres(window[0])[:, None] - cy
    distance = dx * dx + dy * dy
    inner = radius - thickness
    target = codes[window]
    target[(distance < inner * inner) & (target == CLEAR)] = GAP
    target[(distance >= inner * inner) & (distance <= radius * radius)] = fill


def limb(
    codes: Codes,
    start: Point,
    end: Point,
    radii: Point,
    part: int,
    *,
    level: int = NEUTRAL,
    swing: int = 4,
) -> None:
    """A thick line with round ends and its own radius at each; shaded across like a cylinder."""
    (x0, y0), (x1, y1), (r0, r1) = start, end, radii
    reach = max(r0, r1)
    window = _window(
        codes, min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach
    )
    if window is None:
        return
    px, py = _centres(window[1])[None, :] - x0, _centres(window[0])[:, None] - y0
    dx, dy = x1 - x0, y1 - y0
    length = max(dx * dx + dy * dy, 1)
    along = np.clip((px * dx + py * dy) * 256 // length, 0, 256)
    ox, oy = px - (dx * along >> 8), py - (dy * along >> 8)
    radius = r0 + ((r1 - r0) * along >> 8)
    inside = ox * ox + oy * oy <= radius * radius
    shade = np.clip(level - ox * swing // (2 * np.maximum(radius, 1)), 0, 15) + part * 16
    codes[window][inside] = shade[inside]


def speckle(codes: Codes, noise: NDArray[np.uint8], strength: int) -> None:
    """Move the levels by up to `strength` either way, after the noise; gaps stay gaps."""
    height, width = codes.shape
    tiled = np.tile(noise, (-(-height // noise.shape[0]), -(-width // noise.shape[1])))
    move = (tiled[:height, :width].astype(np.int32) * (2 * strength + 1) >> 8) - strength
    level = np.clip((codes & 15).astype(np.int32) + move, 0, 15)
    solid = codes > GAP
    codes[solid] = ((codes & 0xF0) + level)[solid].astype(np.uint8)


def trimmed(codes: Codes, anchor: int, per_metre: int) -> Sprite:
    """The sprite without its empty borders, standing on its lowest drawn row."""
    rows, columns = np.flatnonzero(codes.any(axis=1)), np.flatnonzero(codes.any(axis=0))
    kept = codes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Sprite(kept, per_metre, anchor - int(columns[0]), bool((kept == GAP).any()))
