"""Road and pavement: one lateral cross-section of the street, swept along its depth.

The ground is looked up, not drawn: each pixel below the horizon knows its depth (from its row) and
its sideways distance (from its column); a cross-section 4 cm fine, one for each kind of row (plain,
dashed, paving joint, zebra crossing, junction), holds the code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaformer.data.streets.dice import Dice, grain, hashed_bytes
from edaformer.data.streets.optics import (
    COLOUR_BITS,
    FAR,
    LABEL_BITS,
    Canvas,
    Colour,
    averaged,
    word,
)
from edaformer.data.streets.raster import Codes, code

CELL = 4  # cm
HALF = 640  # cells either side of the road's middle
_BUCKETS = 16  # depth steps of the fog on the ground

_ASPHALT, _WORN, _WHITE, _YELLOW, _KERB, _PAVING, _PAVING2, _GUTTER, _LANE, _EDGE = range(1, 11)
_ROAD_PARTS = frozenset({_ASPHALT, _WORN, _WHITE, _YELLOW, _GUTTER, _LANE})

_PLAIN, _DASH, _JOINT, _DASH_JOINT, _ZEBRA, _STOP, _CROSS = range(7)


@dataclass(frozen=True)
class Street:
    """The plan of the street, in cm; index 0 is the left side, 1 the right."""

    road: tuple[int, int]  # distance from the middle to each kerb
    front: tuple[int, int]  # from the middle to each line of facades
    lanes: int
    junctions: tuple[tuple[int, int, int], ...]  # (from z, to z, side: -1, 0 both, +1)
    zebra: int  # z, 0 for none
    end: int  # z at which the street closes


def draw_ground(canvas: Canvas, dice: Dice, street: Street, road: int, pavement: int) -> None:
    """Paint every row below the horizon."""
    camera = canvas.camera
    top = camera.horizon + 1
    if top >= camera.height:
        return
    rows = np.arange(top, camera.height, dtype=np.int64)
    z = np.minimum(2 * camera.focal * camera.eye // (2 * (rows - camera.horizon) - 1), FAR)
    sideways = _cells(canvas, z)
    kinds = _row_kinds(dice, street, z)
    sections = _sections(canvas, dice, street)
    column = np.clip(sideways + HALF, 0, 2 * HALF - 1)
    column += (kinds * (2 * HALF))[:, None]
    codes = sections.take(column)
    codes += _texture(sideways, z, dice)
    near = canvas.light.fogged(int(z[-1]))
    fog = 256 * z // (z + canvas.light.fog_depth)
    step = np.clip((fog - near) * _BUCKETS // max(256 - near, 1), 0, _BUCKETS - 1)
    colours = _colours(dice)
    labels = [road if part in _ROAD_PARTS else pavement for part in range(1, len(colours) + 1)]
    tables = np.stack(
        [canvas.table(colours, labels, _depth_of(canvas, near, b)) for b in range(_BUCKETS)]
    )
    index = codes + (step * tables.shape[1]).astype(np.uint16)[:, None]
    canvas.pixels[top:] = tables.reshape(-1).take(index)


def _cells(canvas: Canvas, z: NDArray[np.int64]) -> NDArray[np.int32]:
    """(rows, columns): cells right of the road's middle."""
    camera = canvas.camera
    per_pixel = (z * 1024 // (camera.focal * CELL)).astype(np.int32)
    middle = camera.columns(0, z).astype(np.int32)
    x = np.arange(camera.width, dtype=np.int32)
    cells = x[None, :] - np.clip(middle, -16000, 16000)[:, None]
    cells *= per_pixel[:, None]
    cells >>= 10
    return cells


def _depth_of(canvas: Canvas, near: int, bucket: int) -> int:
    """The depth whose fog is the middle of a bucket's."""
    fog = near + (2 * bucket + 1) * (256 - near) // (2 * _BUCKETS)
    return canvas.light.fog_depth * fog // max(256 - fog, 1)


def _row_kinds(dice: Dice, street: Street, z: NDArray[np.int64]) -> NDArray[np.int64]:
    period, start = dice.between(500, 1000), dice.below(1000)
    joint = dice.pick((50, 60, 80, 120))
    dashed = (z + start) % period < period // 2
    step = np.abs(np.diff(z, append=z[-1:]))
    jointed = ((z + start) // joint != (z + start + step) // joint) & (step * 3 < joint)
    kinds: NDArray[np.int64] = dashed.astype(np.int64) * _DASH + jointed * _JOINT
    if street.zebra:
        kinds[(z > street.zebra) & (z < street.zebra + 320)] = _ZEBRA
        kinds[(z > street.zebra - 170) & (z < street.zebra - 120)] = _STOP
    for begin, end, _ in street.junctions:
        kinds[(z > begin) & (z < end)] = _CROSS
    return kinds


def _sections(canvas: Canvas, dice: Dice, street: Street) -> Codes:
    left, right = HALF - street.road[0] // CELL, HALF + street.road[1] // CELL
    plain = np.full(2 * HALF, code(_ASPHALT), np.uint8)
    _pave(plain, dice, left, right)
    _roadway(plain, dice, left, right)
    sections = np.tile(plain, (7, 1))
    _markings(sections, dice, street, left, right)
    for kind in (_JOINT, _DASH_JOINT):
        sections[kind, : left - 4] = code(_EDGE, 5)
        sections[kind, right + 4 :] = code(_EDGE, 5)
    sections[_STOP, left + 8 : right - 8] = code(_WHITE)
    stripe = dice.pick((10, 12, 15))
    bars = np.arange(right - left - 16) // stripe % 2 == 0
    sections[_ZEBRA, left + 8 : right - 8][bars] = code(_WHITE)
    sections[_ZEBRA, left - 3 : left + 1] = code(_KERB, 6)
    sections[_CROSS] = code(_ASPHALT, 7)
    if street.junctions and street.junctions[0][2] < 0:
        sections[_CROSS, right:] = plain[right:]
    elif street.junctions and street.junctions[0][2] > 0:
        sections[_CROSS, :left] = plain[:left]
    _cast_shadow(canvas, dice, sections, street)
    return sections


def _pave(plain: Codes, dice: Dice, left: int, right: int) -> None:
    tile = dice.pick((10, 12, 15, 25))
    two_tone = dice.chance(50)
    index = np.arange(plain.size)
    outside = (index < left) | (index >= right)
    plain[outside] = code(_PAVING)
    if two_tone:
        border = dice.between(20, 45)
        near = outside & ((index > left - border) & (index < right + border))
        plain[near] = code(_PAVING2)
    plain[outside & (index % tile == 0)] = code(_EDGE, 6)
    kerb = dice.between(3, 7)
    plain[left - kerb : left] = code(_KERB, 9)
    plain[right : right + kerb] = code(_KERB, 7)


def _roadway(plain: Codes, dice: Dice, left: int, right: int) -> None:
    for _ in range(dice.between(1, 4)):
        start = dice.between(left, max(right - 10, left))
        end = min(start + dice.between(8, 70), right)
        plain[start:end] = code(_WORN, dice.between(7, 9))
    gutter = dice.between(4, 9)
    plain[left : left + gutter] = code(_GUTTER, 7)
    plain[right - gutter : right] = code(_GUTTER, 7)
    if dice.chance(30) and right - left > 150:
        plain[right - 45 : right - gutter] = code(_LANE)
        plain[right - 48 : right - 45] = code(_WHITE)


def _markings(sections: Codes, dice: Dice, street: Street, left: int, right: int) -> None:
    paint = _YELLOW if dice.chance(15) else _WHITE
    wide = dice.between(3, 5)
    for lane in range(1, street.lanes):
        centre = left + (right - left) * lane // street.lanes
        solid = dice.chance(25)
        kinds = slice(None) if solid else slice(_DASH, _DASH + 1)
        sections[kinds, centre - wide // 2 : centre - wide // 2 + wide] = code(paint, 9)
        if not solid:
            sections[_DASH_JOINT, centre - wide // 2 : centre - wide // 2 + wide] = code(paint, 9)
    if dice.chance(35):
        for edge in (left + 12, right - 15):
            sections[:, edge : edge + 3] = code(dice.pick((_WHITE, _YELLOW)), 8)


def _cast_shadow(canvas: Canvas, dice: Dice, sections: Codes, street: Street) -> None:
    """The shadow of the facades on the sunny side falls towards the middle."""
    if not canvas.light.sunny or dice.chance(30):
        return
    if canvas.light.sun < 0:
        reach = slice(0, HALF - street.front[0] // CELL + dice.between(20, 260))
    else:
        reach = slice(HALF + street.front[1] // CELL - dice.between(20, 260), 2 * HALF)
    shadow = sections[:, reach]
    # Level 2 is the least that the ground's texture can darken without leaving its part.
    shadow -= np.minimum(np.maximum(shadow & 15, 2) - 2, 4).astype(np.uint8)


def _texture(cells: NDArray[np.int32], z: NDArray[np.int64], dice: Dice) -> NDArray[np.uint8]:
    """Grain fixed to the ground, worth -2..+2 levels near the camera and less far away."""
    field = grain(dice.below(4))
    spread = (field.astype(np.int32) * 5 >> 8).astype(np.uint8)
    calm = (field.astype(np.int32) * 3 >> 8).astype(np.uint8) + np.uint8(1)
    tiles = np.stack([spread, calm]).reshape(-1)
    row = ((z >> 2) & 255) * 256 + np.where(z > 2500, 65536, 0)
    index = (cells & 255) + row.astype(np.int32)[:, None]
    moved: NDArray[np.uint8] = tiles.take(index) - np.uint8(2)
    return moved


def _colours(dice: Dice) -> tuple[Colour, ...]:
    """One colour for each part, in the order of the part numbers."""
    tone = dice.between(70, 138)
    asphalt = (tone + dice.between(-3, 6), tone, tone + dice.between(-4, 8))
    worn = _moved(asphalt, dice.between(-18, 22))
    paving = dice.pick(
        ((150, 146, 140), (172, 160, 146), (126, 126, 130), (156, 128, 112), (188, 182, 172))
    )
    paving = _moved(paving, dice.between(-18, 14))
    paving2 = _moved(paving, dice.pick((-26, -16, 14, 22)))
    kerb = _moved(dice.pick(((176, 174, 168), (150, 150, 148), (200, 196, 188))), 0)
    lane = dice.pick(((132, 74, 64), (78, 112, 84), asphalt))
    white = _moved((214, 214, 210), -dice.between(0, 50))
    yellow = _moved((214, 176, 70), -dice.between(0, 40))
    edge = _moved(paving, -24)
    gutter = _moved(asphalt, 12)
    return (asphalt, worn, white, yellow, kerb, paving, paving2, gutter, lane, edge)


def _moved(colour: Colour, by: int) -> Colour:
    red, green, blue = colour
    return (red + by, green + by, blue + by)


def reflect(canvas: Canvas, dice: Dice, road: int) -> None:
    """Wet asphalt mirrors what stands above the horizon."""
    horizon = canvas.camera.horizon
    rows = min(horizon, canvas.camera.height - horizon - 1)
    if rows <= 0:
        return
    below = canvas.pixels[horizon + 1 : horizon + 1 + rows]
    # Ripples: rows are mirrored a little out of order, more so near the camera.
    down = np.arange(1, rows + 1)
    waves = hashed_bytes(dice.below(1 << 20), rows).astype(np.int64) * down // (rows * 24)
    mirrored = canvas.pixels[np.maximum(horizon - down - waves, 0)]
    shine = averaged(below, mirrored)
    if dice.chance(60):
        shine = averaged(below, shine)
    wet = (below & LABEL_BITS) == word(0, 0, 0, road)
    np.copyto(below, (shine & COLOUR_BITS) | (below & LABEL_BITS), where=wet)
