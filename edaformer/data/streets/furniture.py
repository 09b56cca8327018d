"""Street furniture: lamp posts and poles, traffic signs and lights, fences."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edaformer.data.streets.dice import Dice, grain
from edaformer.data.streets.optics import Canvas, Colour
from edaformer.data.streets.raster import (
    GAP,
    SUB,
    Codes,
    Sprite,
    box,
    code,
    cosine,
    ellipse,
    limb,
    polygon,
    sine,
    speckle,
    trimmed,
)

# --- poles ---------------------------------------------------------------------------------------

POLE_PER_METRE = 80
POLES = 10
_STEEL, _LAMP, _COLLAR = 1, 2, 3

POLE_COLOURS: tuple[Colour, ...] = (
    (112, 116, 118),
    (150, 152, 150),
    (62, 66, 66),
    (52, 74, 62),
    (176, 172, 164),
    (98, 84, 72),
    (134, 130, 124),
)


@lru_cache(maxsize=POLES)
def pole(number: int) -> Sprite:
    """A lamp post, a bare mast or a bollard column, 3 to 8 m tall."""
    dice = Dice(2000 + number)
    tall = dice.between(5, 8) * POLE_PER_METRE if number % 5 else 3 * POLE_PER_METRE
    arm = dice.between(70, 150) if number % 3 != 2 else 0
    wide = 2 * arm + 60
    codes = np.zeros((tall + 24, wide), np.uint8)
    middle = wide // 2
    radius = dice.between(6, 12)
    foot, top = (middle * SUB, (tall + 16) * SUB), (middle * SUB, 20 * SUB)
    limb(codes, foot, top, (radius * SUB, radius * SUB * 3 // 4), _STEEL, level=8, swing=8)
    if arm:
        _lantern(codes, dice, middle, arm, both=number % 4 == 3)
    collar = radius + 4
    for low, high in ((0, dice.between(40, 110)), (dice.between(150, 190), 200)):
        base = tall + 16
        box(codes, (middle - collar, base - high, middle + collar, base - low), 0)
        for x in range(middle - collar, middle + collar):
            level = 8 - (x - middle) * 4 // collar
            codes[base - high : base - low, x] = code(_COLLAR, level)
    codes[tall + 16 :] = 0
    speckle(codes, grain(number % 4), 1)
    return trimmed(codes, middle, POLE_PER_METRE)


def _lantern(codes: Codes, dice: Dice, middle: int, arm: int, *, both: bool) -> None:
    rise = dice.between(0, 14)
    for side in (-1, 1) if both else (1,):
        tip = ((middle + side * arm) * SUB, (12 - rise // 2 + 6) * SUB)
        limb(codes, (middle * SUB, 26 * SUB), tip, (5 * SUB, 4 * SUB), _STEEL, level=8, swing=3)
        ellipse(codes, tip, (24 * SUB, 8 * SUB), _LAMP, level=9)


def pole_colours(dice: Dice) -> tuple[Colour, ...]:
    """One colour for each part, in the order of the part numbers."""
    red, green, blue = dice.pick(POLE_COLOURS)
    move = dice.between(-14, 14)
    steel = (red + move, green + move, blue + move)
    collar = (steel[0] - 12, steel[1] - 12, steel[2] - 12) if dice.chance(70) else (196, 160, 60)
    return (steel, (206, 206, 196) if dice.chance(40) else steel, collar)


def draw_post(
    canvas: Canvas, x: int, z: int, *, up: int, radius: int, colour: Colour, label: int
) -> None:
    """A plain round post from the ground to `up` cm, shaded across."""
    camera = canvas.camera
    scale = camera.per_metre(z)
    half = radius * scale // 25600
    column, bottom = camera.column(x, z), camera.row(z) + 1
    top = max(bottom - up * scale // 25600, 0)
    left, right = max(column - half, 0), min(column + half + 1, camera.width)
    if left >= right or top >= min(bottom, camera.height):
        return
    offset = np.arange(left - column, right - column)
    levels = np.clip(8 - offset * 4 // (half + 1) * canvas.light.sun * -1, 3, 13)
    table = canvas.table((colour,), label, z)
    canvas.pixels[top:bottom, left:right] = table.take(16 + levels)


# --- signs ---------------------------------------------------------------------------------------

SIGN_PER_METRE = 90
SIGNS = 24
_FACE, _BORDER, _GLYPH, _BACK, _RED, _AMBER, _GREEN = range(1, 8)


@lru_cache(maxsize=SIGNS)
def sign(number: int) -> Sprite:
    """A traffic sign, direction board or traffic light; the anchor row is its lower edge."""
    dice = Dice(1000 + number)
    kind = number % 6
    if kind == 5:
        return _traffic_light(dice)
    wide, tall = (72, 72) if kind < 3 else (dice.between(60, 190), dice.between(50, 110))
    codes = np.zeros((tall, wide), np.uint8)
    centre = (wide * SUB // 2, tall * SUB // 2)
    if kind == 0:
        ellipse(codes, centre, (36 * SUB, 36 * SUB), _BORDER, level=8, swing=2)
        ellipse(codes, centre, (27 * SUB, 27 * SUB), _FACE, level=9, swing=2)
    elif kind == 1:
        for inset, part in ((0, _BORDER), (9, _FACE)):
            low = (66 - inset // 2) * SUB
            points = [((2 + inset) * SUB, low), (36 * SUB, (4 + 2 * inset) * SUB)]
            polygon(codes, [*points, ((70 - inset) * SUB, low)], code(part, 9))
    elif kind == 2:
        eight = [(centre[0] + cosine(t, 36 * SUB), centre[1] + sine(t, 36 * SUB)) for t in _EIGHTHS]
        polygon(codes, eight, code(_BORDER, 8))
    else:
        box(codes, (0, 0, wide, tall), code(_BORDER, 8))
        box(codes, (4, 4, wide - 4, tall - 4), code(_FACE, 8))
    _glyphs(codes, dice, kind)
    speckle(codes, grain(number % 4), 1)
    return trimmed(codes, wide // 2, SIGN_PER_METRE)


def is_board(number: int) -> bool:
    """Whether a sign is a direction board, which is drawn larger than the others."""
    return number % 6 in (3, 4)


_EIGHTHS = (22, 67, 112, 157, 202, 247, 292, 337)


def _glyphs(codes: Codes, dice: Dice, kind: int) -> None:
    """Marks that read as a pictogram or as lettering from the street."""
    tall, wide = codes.shape
    if kind < 3:
        for _ in range(dice.between(1, 3)):
            x, y = dice.between(24, 40), dice.between(30, 44)
            box(codes, (x, y, x + dice.between(4, 12), y + dice.between(4, 14)), code(_GLYPH, 8))
        return
    for y in range(12, tall - 14, 18):
        x = 10
        while x < wide - 16:
            word = dice.between(6, 26)
            if dice.chance(75):
                box(codes, (x, y, min(x + word, wide - 10), y + 9), code(_GLYPH, 8))
            x += word + 5


def _traffic_light(dice: Dice) -> Sprite:
    codes = np.full((92, 34), code(_BACK, 7), np.uint8)
    burning = dice.below(3)
    for lamp, part in enumerate((_RED, _AMBER, _GREEN)):
        centre = (17 * SUB, (17 + 29 * lamp) * SUB)
        ellipse(codes, centre, (13 * SUB, 13 * SUB), _BACK, level=4)
        ellipse(codes, centre, (11 * SUB, 11 * SUB), part, level=14 if lamp == burning else 4)
    return trimmed(codes, 17, SIGN_PER_METRE)


def sign_colours(dice: Dice, number: int) -> tuple[Colour, ...]:
    """Prohibitions are red and white, orders blue, boards blue, green, white or yellow."""
    white, red, blue = (226, 226, 222), (190, 34, 38), (34, 78, 156)
    kind = number % 6
    if kind < 5 and dice.chance(10):
        tone = dice.between(110, 180)
        face = border = glyph = (tone, tone, tone)  # seen from behind
    elif kind in (0, 1):
        face = dice.pick((white, white, (230, 200, 70), blue))
        border, glyph = red if face != blue else white, (34, 34, 38) if face != blue else white
    elif kind == 2:
        face, border, glyph = red, red, white
    else:
        face = dice.pick((blue, (26, 104, 72), white, (224, 186, 50), (112, 74, 46)))
        border = glyph = (40, 40, 44) if face[0] > 200 else white
    return (face, border, glyph, (46, 48, 48), (226, 60, 44), (230, 160, 40), (60, 190, 110))


# --- fences --------------------------------------------------------------------------------------

FENCE_PER_METRE = 50
FENCES = 8
_RAIL, _PANEL, _JOINT = 1, 2, 3

FENCE_COLOURS: tuple[Colour, ...] = (
    (64, 72, 70),
    (150, 152, 150),
    (104, 78, 58),
    (196, 192, 184),
    (52, 76, 62),
    (138, 112, 84),
    (90, 92, 104),
    (170, 104, 84),
)


@lru_cache(maxsize=FENCES)
def fence(number: int) -> Codes:
    """A wall texture, 2 m long and tiling; row 0 is the ground, then upwards."""
    dice = Dice(4000 + number)
    tall = dice.between(50, 70)
    codes = np.full((tall + 2, 2 * FENCE_PER_METRE), GAP, np.uint8)
    kind = number % 4
    if kind == 0:
        _bars(codes, dice, tall)
    elif kind == 1:
        codes[:] = code(_PANEL)
        codes[:, :: dice.pick((5, 10, 20))] = code(_JOINT, 5)
        box(codes, (0, tall - 12, codes.shape[1], tall - 8), code(_RAIL, 6))
    elif kind == 2:
        codes[:] = code(_PANEL)
        codes[::9] = code(_JOINT, 6)
        box(codes, (0, tall - 5, codes.shape[1], tall + 1), code(_RAIL, 11))
    else:
        for level in (6, 22, 38, tall - 6):
            box(codes, (0, level, codes.shape[1], level + 7), code(_RAIL, 9))
        box(codes, (0, 0, 8, tall), code(_RAIL, 7))
    speckle(codes, grain(number % 4), 1)
    codes[0] = 0
    codes[-1] = 0
    return codes


def _bars(codes: Codes, dice: Dice, tall: int) -> None:
    step = dice.pick((5, 7, 10))
    codes[:, ::step] = code(_RAIL, 8)
    codes[:, 1::step] = code(_RAIL, 6)
    for level in (6, tall - 5):
        codes[level : level + 4] = code(_RAIL, 9)
    codes[:, :6] = code(_RAIL, 7)


def fence_colours(dice: Dice) -> tuple[Colour, ...]:
    """One colour for each part, in the order of the part numbers."""
    red, green, blue = dice.pick(FENCE_COLOURS)
    move = dice.between(-14, 14)
    rail = (red + move, green + move, blue + move)
    return (rail, rail, (red - 26, green - 26, blue - 26))
