"""Pedestrians and bicyclists: jointed figures of limbs, drawn once in many poses.

Lengths are centimetres on a figure 175 cm tall; children and short people are the same drawings,
stamped smaller.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edaformer.data.streets.dice import Dice, grain
from edaformer.data.streets.optics import Colour
from edaformer.data.streets.raster import (
    SUB,
    Codes,
    Point,
    Sprite,
    code,
    cosine,
    ellipse,
    limb,
    polygon,
    ring,
    sine,
    speckle,
    trimmed,
)

PER_METRE = 110
WALKERS = 28
RIDERS = 18

_TOP, _SKIN, _HAIR, _LEGS, _SHOES, _BAG, _SCARF = range(1, 8)
_FRAME, _TYRE, _METAL = range(8, 11)

SKINS: tuple[Colour, ...] = ((226, 180, 152), (198, 146, 114), (150, 104, 78), (98, 66, 50))
HAIRS: tuple[Colour, ...] = ((40, 32, 28), (84, 58, 40), (150, 116, 70), (120, 118, 116))
CLOTHES: tuple[Colour, ...] = (
    (34, 36, 42),
    (58, 60, 66),
    (96, 98, 104),
    (40, 52, 92),
    (70, 92, 130),
    (132, 40, 44),
    (190, 60, 52),
    (62, 86, 60),
    (140, 116, 82),
    (196, 184, 160),
    (214, 212, 208),
    (110, 70, 110),
    (204, 150, 60),
    (92, 62, 48),
    (60, 120, 130),
)


class _Sheet:
    """An empty drawing in centimetres: x from the middle, up from the ground."""

    def __init__(self, wide: int, tall: int) -> None:
        self.middle = wide * PER_METRE // 200
        self.ground = tall * PER_METRE // 100
        self.codes: Codes = np.zeros((self.ground + 2, 2 * self.middle), np.uint8)

    def at(self, x: int, up: int) -> Point:
        unit = PER_METRE * SUB
        return self.middle * SUB + x * unit // 100, self.ground * SUB - up * unit // 100

    def limb(
        self, points: list[Point], radii: list[int], part: int, *, level: int = 8, swing: int = 4
    ) -> None:
        """A chain of thick lines through points given in cm."""
        size = [radius * PER_METRE * SUB // 100 for radius in radii]
        spots = [self.at(*point) for point in points]
        for k in range(len(spots) - 1):
            limb(
                self.codes,
                spots[k],
                spots[k + 1],
                (size[k], size[k + 1]),
                part,
                level=level,
                swing=swing,
            )

    def shape(self, points: list[Point], part: int, level: int = 8) -> None:
        polygon(self.codes, [self.at(*point) for point in points], code(part, level))

    def oval(self, x: int, up: int, rx: int, ry: int, part: int, *, level: int = 8) -> None:
        unit = PER_METRE * SUB
        radii = (rx * unit // 100, ry * unit // 100)
        ellipse(self.codes, self.at(x, up), radii, part, level=level, swing=4)

    def done(self, seed: int) -> Sprite:
        speckle(self.codes, grain(seed % 4), 1)
        return trimmed(self.codes, self.middle, PER_METRE)


@lru_cache(maxsize=WALKERS)
def walker(number: int) -> Sprite:
    """One of the drawn pedestrians, facing right when seen from the side."""
    dice = Dice(5000 + number)
    sheet = _Sheet(130, 190)
    if number % 2:
        _from_side(sheet, dice)
    else:
        _from_front(sheet, dice, back=number % 4 == 0)
    return sheet.done(number)


def _from_side(sheet: _Sheet, dice: Dice) -> None:
    """Walking to the right; the far arm and leg first."""
    stride = dice.between(4, 30)
    lean = dice.between(0, 5)
    swing = stride * 3 // 4
    dress = dice.chance(20)
    shoulder, hip = (lean, 143), (0, 92)
    _leg(sheet, hip, (-stride // 3, 50), (-stride, 9), bare=dress, level=6)
    _arm(sheet, shoulder, (lean + swing // 2, 114), (lean + swing, 92), level=6)
    _leg(sheet, hip, (stride * 2 // 3, 51), (stride, 8), bare=dress, level=8)
    if dice.chance(35):
        sheet.limb([(lean - 15, 136), (lean - 15, 108)], [9, 10], _BAG)
    coat = dice.between(80, 92) if dice.chance(60) else dice.between(52, 70)
    sheet.limb([shoulder, (lean // 2, 112), (0, max(coat, 84))], [13, 13, 14], _TOP)
    if coat < 80:
        sheet.shape([(-14, 92), (14, 92), (17, coat), (-16, coat)], _TOP, 7)
    if dress:
        flare = stride // 2 + 14
        sheet.shape([(-13, 98), (13, 98), (flare, 56), (-flare, 56)], _TOP, 8)
    _head(sheet, dice, lean + 3, profile=True)
    _arm(sheet, shoulder, (lean - swing // 2, 113), (lean - swing + 4, 91), level=9)
    if dice.chance(30):
        hand = (lean - swing + 4, 90)
        sheet.shape(
            [(hand[0] - 12, 86), (hand[0] + 12, 86), (hand[0] + 13, 56), (hand[0] - 13, 56)],
            _BAG,
        )


def _from_front(sheet: _Sheet, dice: Dice, *, back: bool) -> None:
    apart = dice.between(6, 13)
    step = dice.between(0, 14)
    skirt = dice.chance(22)
    _leg(sheet, (-8, 92), (-8, 50), (-apart, 8), bare=skirt, level=8)
    _leg(sheet, (8, 92), (9, 50 + step // 3), (apart, 8 + step), bare=skirt, level=7)
    elbow = dice.between(24, 31)
    raised = dice.chance(25)
    left_hand = (-16, 122) if raised else (-elbow + 2, 86)
    coat = dice.between(82, 92) if dice.chance(60) else dice.between(54, 72)
    sheet.shape(
        [(-21, 146), (21, 146), (19, 118), (18, max(coat, 86)), (-18, max(coat, 86)), (-19, 118)],
        _TOP,
    )
    sheet.limb([(-16, 142), (16, 142)], [7, 7], _TOP, level=9)
    sheet.limb([(0, 132), (0, max(coat, 88))], [17, 17], _TOP)
    if coat < 80:
        sheet.shape([(-18, 94), (18, 94), (21, coat), (-21, coat)], _TOP, 7)
    if skirt:
        sheet.shape([(-16, 98), (16, 98), (24, 58), (-24, 58)], _LEGS, 8)
    _arm(sheet, (-20, 141), (-elbow, 114), left_hand, level=9)
    _arm(sheet, (20, 141), (elbow, 114), (elbow - 2, 86), level=7)
    if not back and coat < 80:
        sheet.shape([(-1, 140), (1, 140), (1, coat), (-1, coat)], _TOP, 4)
    if back and dice.chance(45):
        sheet.limb([(0, 134), (0, 112)], [14, 15], _BAG)
    elif dice.chance(35):
        sheet.shape([(elbow - 12, 86), (elbow + 8, 86), (elbow + 9, 62), (elbow - 13, 62)], _BAG)
    _head(sheet, dice, 0, profile=False, back=back)


def _leg(sheet: _Sheet, hip: Point, knee: Point, ankle: Point, *, bare: bool, level: int) -> None:
    sheet.limb([hip, knee, ankle], [11, 8, 6], _SKIN if bare else _LEGS, level=level)
    sheet.limb([(ankle[0] - 2, ankle[1] - 3), (ankle[0] + 11, ankle[1] - 4)], [5, 4], _SHOES)


def _arm(sheet: _Sheet, shoulder: Point, elbow: Point, hand: Point, level: int) -> None:
    sheet.limb([shoulder, elbow, hand], [7, 6, 5], _TOP, level=level)
    sheet.oval(hand[0], hand[1] - 3, 5, 6, _SKIN)


def _head(sheet: _Sheet, dice: Dice, x: int, *, profile: bool, back: bool = False) -> None:
    sheet.limb([(x - 2, 148), (x, 156)], [6, 6], _SKIN, level=6)
    if dice.chance(25):
        sheet.limb([(x - 8, 150), (x + 8, 150)], [6, 6], _SCARF)
    sheet.oval(x, 164, 10, 13, _SKIN)
    if dice.chance(18):
        sheet.oval(x, 171, 12, 8, _SCARF)
        return
    if back:
        sheet.oval(x, 166, 11, 13, _HAIR)
    elif profile:
        sheet.oval(x - 4, 169, 10, 9, _HAIR)
        sheet.oval(x - 7, 163, 6, 10, _HAIR, level=7)
    else:
        sheet.oval(x, 172, 11, 7, _HAIR)
    if dice.chance(30):
        sheet.limb([(x - 7, 168), (x - 8, 148)], [6, 5], _HAIR, level=7)


@lru_cache(maxsize=RIDERS)
def rider(number: int) -> Sprite:
    """One of the drawn bicyclists: riding right, away, or towards the camera."""
    dice = Dice(6000 + number)
    if number % 3 == 2:
        sheet = _Sheet(90, 190)
        _ride_along(sheet, dice, back=number % 2 == 0)
    else:
        sheet = _Sheet(210, 190)
        _ride_across(sheet, dice)
    return sheet.done(number)


def _ride_across(sheet: _Sheet, dice: Dice) -> None:
    """Seen from the side: bicycle between the rider's far and near leg."""
    lean = dice.between(14, 40)
    turn = dice.below(360)
    hip, shoulder = (-22, 96), (-22 + lean, 142 - lean // 6)
    grip, crank = (38, 100), (-4, 30)
    _pedal(sheet, hip, crank, turn + 180, 6)
    radius = 34 * PER_METRE * SUB // 100
    for x in (-52, 54):
        ring(sheet.codes, sheet.at(x, 34), radius, 5 * PER_METRE * SUB // 100, code(_TYRE, 6))
        for spoke in range(dice.below(30), 180, 45):
            dx, dy = cosine(spoke, 30), sine(spoke, 30)
            sheet.limb([(x - dx, 34 - dy), (x + dx, 34 + dy)], [1, 1], _METAL, level=8)
        sheet.oval(x, 34, 4, 4, _METAL, level=7)
    bars = ([(-52, 34), crank], [crank, (-20, 84)], [(-20, 84), (-52, 34)])
    for bar in (*bars, [crank, (36, 78)], [(-18, 76), (34, 84)], [(54, 34), (36, 92), (40, 102)]):
        sheet.limb(list(bar), [3] * len(bar), _FRAME, level=8, swing=3)
    sheet.limb([(-30, 89), (-10, 88)], [4, 3], _TYRE, level=5)
    if dice.chance(25):
        sheet.limb([(-62, 78), (-44, 78)], [9, 9], _BAG)
    _pedal(sheet, hip, crank, turn, 8)
    sheet.limb([hip, shoulder], [15, 13], _TOP)
    if dice.chance(30):
        sheet.limb([(-30 + lean // 2, 118), (-24 + lean, 138)], [10, 9], _BAG)
    elbow = ((shoulder[0] + grip[0]) // 2 - 2, 114)
    sheet.limb([(shoulder[0], shoulder[1] - 3), elbow, grip], [7, 6, 5], _TOP, level=9)
    sheet.oval(*grip, 5, 5, _SKIN)
    _rider_head(sheet, dice, shoulder[0] + 8, shoulder[1] + 21)


def _pedal(sheet: _Sheet, hip: Point, crank: Point, turn: int, level: int) -> None:
    foot = (crank[0] + cosine(turn, 17), crank[1] + sine(turn, 17))
    knee = ((hip[0] + foot[0]) // 2 + 20, (hip[1] + foot[1]) // 2 + 8)
    sheet.limb([hip, knee, foot], [11, 9, 6], _LEGS, level=level)
    sheet.limb([(foot[0] - 6, foot[1] - 4), (foot[0] + 9, foot[1] - 4)], [5, 4], _SHOES)
    sheet.limb([crank, foot], [2, 2], _METAL, level=7)


def _ride_along(sheet: _Sheet, dice: Dice, *, back: bool) -> None:
    """Seen from behind or from the front: one thin wheel under the rider."""
    low = dice.between(0, 16)
    sheet.limb([(0, 6), (0, 64)], [4, 4], _TYRE, level=6)
    sheet.limb([(0, 50), (0, 96)], [4, 4], _FRAME)
    sheet.limb([(-30, 100), (30, 100)], [3, 3], _METAL, level=7)
    for side, lift in ((-1, low), (1, 16 - low)):
        sheet.limb(
            [(side * 9, 98), (side * 15, 62 + lift), (side * 11, 22 + lift)], [11, 9, 7], _LEGS
        )
        sheet.oval(side * 11, 18 + lift, 6, 6, _SHOES)
    sheet.limb([(0, 136), (0, 104)], [20, 17], _TOP)
    for side in (-1, 1):
        sheet.limb(
            [(side * 18, 138), (side * 31, 118), (side * 27, 102)], [7, 6, 5], _TOP, level=8 - side
        )
        sheet.oval(side * 27, 100, 5, 5, _SKIN)
    if back and dice.chance(40):
        sheet.limb([(0, 132), (0, 112)], [14, 14], _BAG)
    if back:
        sheet.oval(0, 62, 4, 3, _SCARF, level=12)
    _rider_head(sheet, dice, 0, 160)


def _rider_head(sheet: _Sheet, dice: Dice, x: int, up: int) -> None:
    sheet.limb([(x - 4, up - 14), (x, up)], [6, 6], _SKIN, level=6)
    sheet.oval(x, up, 10, 12, _SKIN)
    if dice.chance(55):
        sheet.oval(x - 2, up + 6, 13, 9, _SCARF)
    else:
        sheet.oval(x - 2, up + 6, 11, 8, _HAIR)


def person_colours(dice: Dice) -> tuple[Colour, ...]:
    """One colour for each part, in the order of the part numbers."""

    def cloth() -> Colour:
        red, green, blue = dice.pick(CLOTHES)
        move = dice.between(-12, 12)
        return (red + move, green + move, blue + move)

    frame = cloth()
    return (
        cloth(),
        dice.pick(SKINS),
        dice.pick(HAIRS),
        dice.pick(CLOTHES[:9]),
        dice.pick(((38, 34, 34), (90, 66, 50), (190, 188, 186))),
        cloth(),
        cloth(),
        frame,
        (38, 38, 40),
        (136, 138, 142),
    )
