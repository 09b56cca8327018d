"""Rows of buildings along both sides of the street, and those that stand across it.

A row is ray-cast column by column: each picture column meets the facade plane at one depth, which
gives the texture column, the visible height and the fog. Textures are code maps of one floor and
four bays; a building stacks them to its own height and brings its own colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edaformer.data.streets.dice import Dice, grain
from edaformer.data.streets.optics import FAR, Camera, Canvas, Colour, Pixels
from edaformer.data.streets.raster import CLEAR, Codes, Sprite, box, code, speckle

PER_METRE = 20
BAY = 64  # 3.2 m
FLOOR = 64
WIDTH = 4 * BAY
STYLES = 16

_WALL, _WALL2, _FRAME, _GLASS, _LIT, _DOOR, _SIGN, _ROOF, _TRIM, _BASE, _DARK = range(1, 12)

WALLS: tuple[Colour, ...] = (
    (168, 92, 70),
    (142, 78, 62),
    (196, 164, 124),
    (214, 200, 172),
    (176, 170, 160),
    (206, 206, 202),
    (122, 112, 104),
    (220, 186, 140),
    (150, 160, 166),
    (188, 132, 104),
    (108, 96, 92),
    (228, 222, 208),
    (176, 150, 150),
    (134, 146, 128),
)
ROOFS: tuple[Colour, ...] = ((92, 84, 84), (132, 72, 56), (74, 82, 92), (110, 96, 84))
SIGNS: tuple[Colour, ...] = (
    (172, 40, 44),
    (36, 84, 140),
    (30, 108, 72),
    (206, 170, 60),
    (60, 56, 60),
    (210, 206, 196),
    (112, 44, 104),
)


@dataclass(frozen=True)
class Style:
    """Code maps, top row first, each four bays wide."""

    ground: Codes
    upper: Codes
    roof: Codes


@dataclass(frozen=True)
class Building:
    """`codes` has row 0 under the ground and then goes up; it repeats along the street."""

    codes: Codes
    colours: tuple[Colour, ...]
    start: int  # cm along the street
    end: int


@lru_cache(maxsize=STYLES)
def style(number: int) -> Style:
    """One of the drawn facade styles."""
    dice = Dice(7000 + number)
    noise = grain(number % 4)
    wall = _masonry(dice, number % 4)
    ground, upper = wall.copy(), wall.copy()
    shape = _window_shape(dice)
    for bay in range(4):
        _window(upper, dice, bay * BAY, shape)
    if dice.chance(60):
        box(upper, (0, FLOOR - 5, WIDTH, FLOOR - 2), code(_TRIM, 9))
        box(upper, (0, FLOOR - 2, WIDTH, FLOOR), code(_TRIM, 5))
    ground[(ground >> 4) == _WALL] += np.uint8((_BASE - _WALL) * 16)
    _ground_floor(ground, dice, shape)
    roof = _roof(dice)
    for picture in (ground, upper, roof):
        speckle(picture, noise, 1)
    return Style(ground, upper, roof)


def _masonry(dice: Dice, kind: int) -> Codes:
    """Brick, plaster, stone blocks, or panels."""
    wall = np.full((FLOOR, WIDTH), code(_WALL), np.uint8)
    if kind == 0:
        wall[::4] = code(_WALL, 6)
        for course in range(0, FLOOR, 4):
            wall[course : course + 4, (course * 3) % 10 :: 10] = code(_WALL, 6)
    elif kind == 2:
        wall[::16] = code(_WALL, 5)
        for course in range(0, FLOOR, 16):
            wall[course : course + 16, (course // 2) % 32 :: 32] = code(_WALL, 5)
    elif kind == 3:
        wall[:, ::32] = code(_WALL, 4)
        wall[: dice.between(8, 20)] = code(_WALL2, 7)
    return wall


def _window_shape(dice: Dice) -> tuple[int, int, int, int]:
    """Left, top, right, bottom inside a bay."""
    if dice.chance(20):
        return (2, 6, BAY - 2, FLOOR - dice.between(14, 24))
    side = dice.between(12, 20)
    return (side, dice.between(8, 14), BAY - side, FLOOR - dice.between(12, 22))


def _window(codes: Codes, dice: Dice, x: int, shape: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = x + shape[0], shape[1], x + shape[2], shape[3]
    box(codes, (left - 2, top - 2, right + 2, bottom + 2), code(_TRIM, 9))
    box(codes, (left - 3, bottom + 2, right + 3, bottom + 4), code(_TRIM, 10))
    box(codes, (left - 3, bottom + 4, right + 3, bottom + 6), code(_WALL, 4))
    _glass(codes, dice, (left, top, right, bottom))
    middle = (left + right) // 2
    box(codes, (left, top, left + 2, bottom), code(_FRAME, 8))
    box(codes, (right - 2, top, right, bottom), code(_FRAME, 7))
    box(codes, (middle - 1, top, middle + 1, bottom), code(_FRAME, 8))
    cross = top + (bottom - top) // 3
    box(codes, (left, cross, right, cross + 2), code(_FRAME, 8))
    box(codes, (left, top, right, top + 2), code(_DARK, 7))
    if dice.chance(18):
        _balcony(codes, left - 6, right + 6, bottom)


def _glass(codes: Codes, dice: Dice, edges: tuple[int, int, int, int]) -> None:
    """Panes reflect more sky the higher one looks; some show curtains or a lamp."""
    left, top, right, bottom = edges
    part = _LIT if dice.chance(22) else _GLASS
    bright = dice.between(5, 11)
    for row in range(top, bottom):
        fade = (row - top) * 5 // max(bottom - top, 1)
        codes[row, left:right] = code(part, bright - fade)
    if dice.chance(35):
        drape = (right - left) // 4
        box(codes, (left, top, left + drape, bottom), code(_LIT, 9))
        box(codes, (right - drape, top, right, bottom), code(_LIT, 8))


def _balcony(codes: Codes, left: int, right: int, floor: int) -> None:
    box(codes, (left, floor - 16, right, floor - 14), code(_DARK, 8))
    codes[floor - 14 : floor, max(left, 0) : right : 4] = code(_DARK, 7)
    box(codes, (left, floor, right, floor + 3), code(_TRIM, 6))


def _ground_floor(codes: Codes, dice: Dice, shape: tuple[int, int, int, int]) -> None:
    shops = dice.chance(55)
    for bay in range(4):
        if shops:
            _shop(codes, dice, bay * BAY)
        elif bay % 2 == dice.below(2):
            _doorway(codes, dice, bay * BAY)
        else:
            _window(codes, dice, bay * BAY, shape)
    box(codes, (0, FLOOR - 4, WIDTH, FLOOR), code(_BASE, 5))


def _shop(codes: Codes, dice: Dice, x: int) -> None:
    box(codes, (x + 2, 4, x + BAY - 2, 16), code(_SIGN, 8))
    for letter in range(x + 10, x + BAY - 14, 5):
        if dice.chance(80):
            box(codes, (letter, 7, letter + 3, 13), code(_LIT, 11))
    box(codes, (x + 3, 17, x + BAY - 3, FLOOR), code(_FRAME, 6))
    split = x + BAY - 22
    _glass(codes, dice, (x + 5, 19, split - 2, FLOOR - 10))
    _glass(codes, dice, (split, 19, x + BAY - 5, FLOOR - 2))
    if dice.chance(40):
        for stripe in range(x + 2, x + BAY - 2, 8):
            box(codes, (stripe, 16, stripe + 4, 26), code(_SIGN, 9))
            box(codes, (stripe + 4, 16, stripe + 8, 26), code(_LIT, 11))


def _doorway(codes: Codes, dice: Dice, x: int) -> None:
    left = x + dice.between(14, 26)
    right = left + dice.between(20, 26)
    box(codes, (left - 3, 12, right + 3, FLOOR), code(_TRIM, 8))
    box(codes, (left, 15, right, FLOOR), code(_DOOR, 7))
    box(codes, (left, 15, right, 22), code(_GLASS, 7))
    for top in (26, 44):
        box(codes, (left + 3, top, right - 3, top + 14), code(_DOOR, 5))


def _roof(dice: Dice) -> Codes:
    """A cornice, then a tiled slope with dormers or a flat edge with chimneys (top row first)."""
    tall = dice.pick((14, 40, 48))
    roof = np.zeros((tall + 16, WIDTH), np.uint8)
    eaves = roof.shape[0] - 10
    if tall > 14:
        slope = roof[16:eaves]
        slope[:] = code(_ROOF)
        slope[::5] = code(_ROOF, 6)
        slope[: slope.shape[0] // 3] += np.uint8(1)
        for bay in range(0, 4, dice.pick((1, 2))):
            middle = bay * BAY + BAY // 2
            box(roof, (middle - 10, 24, middle + 10, eaves), code(_TRIM, 8))
            _glass(roof, dice, (middle - 7, 27, middle + 7, eaves - 2))
    else:
        box(roof, (0, eaves - 6, WIDTH, eaves), code(_WALL2, 7))
    for _ in range(dice.between(0, 2)):
        x = dice.below(WIDTH - 16)
        box(roof, (x, dice.between(2, 12), x + dice.between(8, 16), eaves - 4), code(_BASE, 7))
    box(roof, (0, eaves, WIDTH, eaves + 4), code(_TRIM, 10))
    box(roof, (0, eaves + 4, WIDTH, roof.shape[0]), code(_TRIM, 4))
    return roof


def raise_building(dice: Dice, start: int, end: int) -> Building:
    """A building of random style, height and colours on a stretch of the street."""
    drawn = style(dice.below(STYLES))
    floors = dice.pick((0, 1, 1, 2, 2, 3, 3, 4, 5, 7))
    empty = np.zeros((1, WIDTH), np.uint8)
    stacked = np.concatenate([empty, drawn.roof, *[drawn.upper] * floors, drawn.ground, empty])
    return Building(stacked[::-1], _building_colours(dice), start, end)


def _building_colours(dice: Dice) -> tuple[Colour, ...]:
    def near(colour: Colour, by: int) -> Colour:
        move = dice.between(-by, by)
        red, green, blue = colour
        return (red + move + dice.between(-6, 6), green + move, blue + move + dice.between(-6, 6))

    wall = near(dice.pick(WALLS), 22)
    wall2 = near(wall, 30)
    trim = near(dice.pick(((206, 200, 190), (180, 176, 170), wall, (232, 230, 224))), 14)
    frame = near(dice.pick(((226, 226, 222), (72, 66, 62), (120, 88, 62), (160, 164, 166))), 12)
    glass = near(dice.pick(((82, 98, 114), (64, 72, 80), (110, 132, 152), (50, 56, 62))), 14)
    lit = near(dice.pick(((206, 190, 150), (190, 188, 180), (150, 128, 104))), 16)
    door = near(dice.pick(((92, 58, 44), (52, 70, 88), (44, 84, 60), (120, 40, 40))), 14)
    base = near(dice.pick((wall, wall2, (150, 142, 132), (110, 106, 104))), 14)
    return (
        wall,
        wall2,
        frame,
        glass,
        lit,
        door,
        near(dice.pick(SIGNS), 14),
        near(dice.pick(ROOFS), 14),
        trim,
        base,
        (40, 38, 40),
    )


@dataclass(frozen=True)
class Wall:
    """The picture columns on which a plane along the street is seen, and its depth at each."""

    columns: NDArray[np.int64]
    z: NDArray[np.int64]


def sight(camera: Camera, x: int, near: int, far: int) -> Wall:
    """Ray-cast the vertical plane at sideways position x between two depths."""
    steps = 1024
    inverse_near, inverse_far = (1 << 32) // near, (1 << 32) // far
    mix = np.arange(steps + 1, dtype=np.int64)
    inverse = (inverse_near * (steps - mix) + inverse_far * mix) // steps
    z = (1 << 32) // inverse
    towards = 1 if x < camera.shift else -1
    # A bend can hide the far part of a plane behind its own middle: the running maximum stops it.
    seen = np.maximum.accumulate(towards * camera.columns(x, z))
    low, high = (0, camera.width - 1) if towards > 0 else (1 - camera.width, 0)
    columns = np.arange(max(low, int(seen[0])), min(high, int(seen[-1])) + 1, dtype=np.int64)
    after = np.clip(np.searchsorted(seen, columns), 1, steps)
    gap = np.maximum(seen[after] - seen[after - 1], 1)
    part = np.clip((columns - seen[after - 1]) * 256 // gap, 0, 256)
    mixed = (inverse[after - 1] * (256 - part) + inverse[after] * part) >> 8
    return Wall(columns * towards, (1 << 32) // mixed)


def draw_plane(
    canvas: Canvas,
    wall: Wall,
    codes: Codes,
    span: tuple[int, int],
    table: Pixels,
    *,
    per_metre: int = PER_METRE,
    gaps: bool = False,
) -> None:
    """Paint the stretch of a plane between two depths with a texture whose row 0 is the ground."""
    camera = canvas.camera
    start, end = span
    here = np.flatnonzero((wall.z >= start) & (wall.z < end))
    if here.size == 0:
        return
    columns, z = wall.columns[here], wall.z[here]
    if columns[0] > columns[-1]:
        columns, z = columns[::-1], z[::-1]
    height, width = codes.shape
    nearest = int(z.min())
    tall = height * 100 // per_metre - camera.eye
    furthest = int(z.max()) if tall < 0 else nearest
    top = max(camera.horizon - camera.focal * tall // furthest - 1, 0)
    bottom = min(camera.row(nearest) + 2, camera.height)
    if top >= bottom:
        return
    per_row = (z * (per_metre << 12) // (camera.focal * 100)).astype(np.int32)
    rows = np.arange(camera.horizon - top, camera.horizon - bottom, -1, dtype=np.int32)
    index = rows[:, None] * per_row[None, :]
    index += camera.eye * (per_metre << 12) // 100 + 4096
    index >>= 12
    np.clip(index, 0, height - 1, out=index)
    index *= width
    along = (z - start) * per_metre // 100 % width
    index += along.astype(np.int32)[None, :]
    window = canvas.pixels[top:bottom, int(columns[0]) : int(columns[-1]) + 1]
    canvas.blend(window, codes.reshape(-1).take(index), table, gaps=gaps)


def draw_row(
    canvas: Canvas, buildings: list[Building], x: int, *, label: int, lit: int, near: int
) -> None:
    """One side of the street, far buildings first, each with the flank that rises behind it."""
    wall = sight(canvas.camera, x, near, FAR)
    for building in sorted(buildings, key=lambda b: -b.start):
        if building.start > near:
            table = canvas.table(building.colours, label, building.start, 512 - lit)
            _draw_flank(canvas, building, x, table)
        middle = (max(building.start, near) + building.end) // 2
        table = canvas.table(building.colours, label, middle, lit)
        draw_plane(canvas, wall, building.codes, (building.start, building.end), table)


def _draw_flank(canvas: Canvas, building: Building, x: int, table: Pixels) -> None:
    """The side of a building that faces the camera, where nothing stands before it."""
    left = x < canvas.camera.shift
    anchor, overlap = (WIDTH, 1) if left else (0, 0)  # a column more, against rounding
    sprite = Sprite(building.codes[-1:0:-1], PER_METRE, anchor)
    camera, z = canvas.camera, building.start
    column, row = camera.column(x, z) + overlap, camera.row(z) + 1
    canvas.stamp(sprite, column, row, camera.per_metre(z), table)


def draw_across(canvas: Canvas, building: Building, x: int, z: int, label: int) -> None:
    """A facade parallel to the picture, its left edge at x."""
    camera = canvas.camera
    sprite = Sprite(building.codes[-1:0:-1], PER_METRE, 0)
    table = canvas.table(building.colours, label, z)
    canvas.stamp(sprite, camera.column(x, z), camera.row(z) + 1, camera.per_metre(z), table)


def floors_only(building: Building) -> Building:
    """The building without roof ornaments that let the sky through."""
    solid = building.codes[(building.codes != CLEAR).all(axis=1)]
    edge = np.zeros((1, WIDTH), np.uint8)
    return Building(np.concatenate([edge, solid, edge]), building.colours, 0, 0)
