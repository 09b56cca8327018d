"""Cars: side profiles extruded to solids and projected from all round.

Each type is a handful of profile points (cm along the car, cm above the ground); the drawing adds
wheels, glass, lamps and a number plate. One view exists for every 7.5 degrees of half a turn; the
other half is its mirror image. Seen from 9 m away at eye height.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    polygon,
    sine,
    speckle,
    trimmed,
)

PER_METRE = 50
VIEWS = 25
_DISTANCE, _EYE = 900, 165
_SIZE = (176, 400)  # rows, columns
_GROUND, _MIDDLE = 150, 200

PAINT, GLASS, TYRE, RIM, RED, WHITE, BLACK, PLATE = range(1, 9)

PAINTS: tuple[Colour, ...] = (
    (206, 208, 210),
    (168, 172, 176),
    (112, 116, 122),
    (48, 50, 54),
    (36, 38, 44),
    (150, 34, 36),
    (40, 62, 118),
    (58, 92, 74),
    (182, 158, 116),
    (92, 60, 48),
    (232, 230, 226),
    (198, 160, 50),
    (96, 136, 168),
)


@dataclass(frozen=True)
class Body:
    """A profile from the rear bumper round to the front, and which of its edges are glass."""

    profile: tuple[Point, ...]
    glass: tuple[int, ...]  # profile edges
    side_glass: tuple[tuple[Point, ...], ...]
    width: int
    axles: tuple[int, int]
    wheel: int
    roof_inset: int  # how much narrower each side is at the roof


BODIES: tuple[Body, ...] = (
    Body(  # hatchback
        (
            (-195, 25),
            (-200, 75),
            (-185, 95),
            (-150, 142),
            (10, 148),
            (85, 98),
            (185, 78),
            (200, 25),
        ),
        (2, 4),
        (
            ((-150, 98), (-132, 136), (-70, 140), (-70, 98)),
            ((-62, 98), (-62, 140), (4, 140), (66, 98)),
        ),
        172,
        (-122, 125),
        31,
        20,
    ),
    Body(  # saloon
        (
            (-225, 28),
            (-230, 80),
            (-220, 98),
            (-150, 103),
            (-95, 142),
            (20, 144),
            (95, 98),
            (215, 78),
            (228, 25),
        ),
        (3, 5),
        (
            ((-134, 102), (-92, 135), (-40, 137), (-40, 100)),
            ((-32, 100), (-32, 137), (16, 137), (78, 98)),
        ),
        178,
        (-135, 138),
        32,
        22,
    ),
    Body(  # sports utility
        (
            (-220, 32),
            (-225, 95),
            (-215, 112),
            (-190, 168),
            (30, 172),
            (95, 115),
            (210, 98),
            (220, 32),
        ),
        (2, 4),
        (
            ((-186, 115), (-172, 160), (-118, 163), (-118, 115)),
            ((-110, 115), (-110, 163), (-40, 164), (-40, 115)),
            ((-32, 115), (-32, 164), (24, 164), (76, 114)),
        ),
        186,
        (-135, 138),
        37,
        18,
    ),
    Body(  # van
        ((-250, 30), (-255, 100), (-250, 195), (95, 200), (160, 120), (245, 98), (255, 30)),
        (3,),
        (((62, 118), (62, 185), (94, 185), (142, 118)),),
        194,
        (-160, 165),
        35,
        10,
    ),
    Body(  # small bus
        ((-300, 32), (-305, 110), (-300, 262), (275, 268), (300, 130), (305, 32)),
        (3,),
        (
            ((-285, 120), (-285, 225), (-200, 225), (-200, 120)),
            ((-190, 120), (-190, 225), (-90, 225), (-90, 120)),
            ((-80, 120), (-80, 225), (20, 225), (20, 120)),
            ((30, 120), (30, 225), (130, 225), (130, 120)),
            ((140, 120), (140, 225), (270, 225), (282, 120)),
        ),
        220,
        (-190, 195),
        44,
        8,
    ),
)


class _View:
    """Projects car coordinates (along, across, up) for one direction of sight."""

    def __init__(self, degrees10: int) -> None:
        # Bhaskara's formula takes whole degrees; half degrees are the mean of two.
        low, high = degrees10 // 10, -(-degrees10 // 10)
        self.cos = (cosine(low, 4096) + cosine(high, 4096)) // 2
        self.sin = (sine(low, 4096) + sine(high, 4096)) // 2

    def place(self, along: int, across: int, up: int) -> tuple[int, int, int]:
        """Right, ahead (from the camera), up; heading 0 drives away from the camera."""
        right = (along * self.sin + across * self.cos) >> 12
        ahead = (along * self.cos - across * self.sin) >> 12
        return right, ahead + _DISTANCE, up

    def project(self, along: int, across: int, up: int) -> Point:
        right, ahead, height = self.place(along, across, up)
        scale = PER_METRE * SUB * _DISTANCE
        x = _MIDDLE * SUB + right * scale // (ahead * 100)
        ground = _EYE * scale // (ahead * 100) - _EYE * PER_METRE * SUB // 100
        return x, _GROUND * SUB + ground - height * scale // (ahead * 100)


def _half_width(body: Body, up: int) -> int:
    """Cars lean inwards above their waist."""
    waist = 95 if body.roof_inset > 15 else 120
    roof = max(point[1] for point in body.profile)
    lean = body.roof_inset * max(up - waist, 0) // max(roof - waist, 1)
    return body.width // 2 - lean


def _facing(points: list[Point]) -> bool:
    """Whether a face is seen from outside: its outline runs clockwise on the picture."""
    turned = zip(points, [*points[1:], points[0]], strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in turned) > 0


@lru_cache(maxsize=256)
def view(kind: int, step: int) -> Sprite:
    """Body `kind` seen with its heading turned `step` * 7.5 degrees to the right."""
    body, eye = BODIES[kind], _View(step * 75)
    codes = np.zeros(_SIZE, np.uint8)
    _underside(codes, body, eye)
    _strips(codes, body, eye)
    for side in (-1, 1):
        _side(codes, body, eye, side)
    _ends(codes, body, eye)
    speckle(codes, grain(kind % 4), 1)
    return trimmed(codes, _MIDDLE, PER_METRE)


def _underside(codes: Codes, body: Body, eye: _View) -> None:
    """The dark below the sills, and the wheels on the far side."""
    front, rear, half = body.axles[1] + 30, body.axles[0] - 30, body.width // 2 - 12
    corners = [(rear, -half), (rear, half), (front, half), (front, -half)]
    for (a0, w0), (a1, w1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        face = [(a0, w0, 10), (a0, w0, 45), (a1, w1, 45), (a1, w1, 10)]
        polygon(codes, [eye.project(*p) for p in face], code(BLACK, 4))
    for axle in body.axles:
        for side in (-1, 1):
            _wheel(codes, body, eye, axle, side * (body.width // 2 - 18), rim=False)


def _wheel(codes: Codes, body: Body, eye: _View, axle: int, across: int, *, rim: bool) -> None:
    def disc(radius: int) -> list[Point]:
        return [
            eye.project(axle + cosine(turn, radius), across, body.wheel + sine(turn, radius))
            for turn in range(0, 360, 20)
        ]

    inner = across - 18 if across > 0 else across + 18
    tread = [
        eye.project(axle - body.wheel * 7 // 10, inner, 0),
        eye.project(axle - body.wheel * 7 // 10, across, 0),
        eye.project(axle + body.wheel * 7 // 10, across, 0),
        eye.project(axle + body.wheel * 7 // 10, inner, 0),
    ]
    polygon(codes, tread, code(TYRE, 5))
    polygon(codes, disc(body.wheel), code(TYRE, 6))
    if rim:
        polygon(codes, disc(body.wheel * 6 // 10), code(RIM, 9))
        polygon(codes, disc(body.wheel * 2 // 10), code(RIM, 5))


def _strips(codes: Codes, body: Body, eye: _View) -> None:
    """The faces that run across the car: bumpers, bonnet, windscreens, roof."""
    edges = list(zip(body.profile, body.profile[1:], strict=False))
    faces = []
    for number, (low, high) in enumerate(edges):
        w0, w1 = _half_width(body, low[1]), _half_width(body, high[1])
        face = [
            eye.project(low[0], -w0, low[1]),
            eye.project(high[0], -w1, high[1]),
            eye.project(high[0], w1, high[1]),
            eye.project(low[0], w0, low[1]),
        ]
        if _facing(face):
            middle = eye.place((low[0] + high[0]) // 2, 0, (low[1] + high[1]) // 2)
            faces.append((middle[1], number, face))
    for _, number, face in sorted(faces, reverse=True):
        (a0, u0), (a1, u1) = edges[number]
        steep = abs(u1 - u0) * 8 // (abs(a1 - a0) + abs(u1 - u0) + 1)
        polygon(codes, face, code(PAINT, 12 - steep * 5 // 8))
        if number in body.glass:
            _pane(codes, face)


def _pane(codes: Codes, face: list[Point]) -> None:
    """Glass set into a face, leaving a frame; its upper half reflects the sky."""
    (lx, ly), (hx, hy), (kx, ky), (mx, my) = face

    def between(low: Point, high: Point, share: int) -> Point:
        return (
            low[0] + (high[0] - low[0]) * share // 16,
            low[1] + (high[1] - low[1]) * share // 16,
        )

    left = between((lx, ly), (mx, my), 1), between((hx, hy), (kx, ky), 1)
    right = between((lx, ly), (mx, my), 15), between((hx, hy), (kx, ky), 15)
    for low, high, level in ((2, 8, 6), (8, 14, 9)):
        polygon(
            codes,
            [
                between(*left, low),
                between(*left, high),
                between(*right, high),
                between(*right, low),
            ],
            code(GLASS, level),
        )


def _side(codes: Codes, body: Body, eye: _View, side: int) -> None:
    def at(point: Point) -> Point:
        return eye.project(point[0], side * _half_width(body, point[1]), point[1])

    outline = [at(point) for point in body.profile]
    if _facing(outline) != (side > 0):
        return
    polygon(codes, outline, code(PAINT, 8))
    sill = [p for p in body.profile if p[1] < 60]
    rear, front = sill[0], sill[-1]
    band = [rear, (rear[0], rear[1] + 16), (front[0], front[1] + 16), front]
    polygon(codes, [at(point) for point in band], code(PAINT, 5))
    for number, pane in enumerate(body.side_glass):
        polygon(codes, [at(point) for point in pane], code(GLASS, 7 - number))
    for seam in (body.side_glass[-1][0][0] - 4, body.side_glass[-1][-1][0] - 8):
        joint = [(seam, 40), (seam, 92), (seam + 3, 92), (seam + 3, 40)]
        polygon(codes, [at(point) for point in joint], code(PAINT, 4))
    for axle in body.axles:
        arch = [
            at(
                (
                    axle + cosine(turn, body.wheel + 8),
                    max(body.wheel + sine(turn, body.wheel + 8), 20),
                )
            )
            for turn in range(-40, 221, 20)
        ]
        polygon(codes, arch, code(BLACK, 4))
        _wheel(codes, body, eye, axle, side * (body.width // 2 - 4), rim=True)


def _ends(codes: Codes, body: Body, eye: _View) -> None:
    """Bumper, plate and lamps, in front and behind."""
    half, waist = body.width // 2, 88 if body.roof_inset > 15 else 105
    for front in (False, True):
        end = _End(body, eye, front=front)
        end.patch(codes, (-half + 3, half - 3), (end.low[1], 50), code(PAINT, 5))
        if front:
            end.patch(codes, (-half + 40, half - 40), (56, 72), code(BLACK, 5))
        end.patch(codes, (-26, 26), (50, 61), code(PLATE, 9))
        wide, tall, lamp = (29, 16, WHITE) if front else (10, 28, RED)
        for outer in (-half + 5, half - 5):
            inner = outer - wide if outer > 0 else outer + wide
            across = (min(inner, outer), max(inner, outer))
            end.patch(codes, across, (waist - 10 - tall, waist - 10), code(lamp))


class _End:
    """The lowest face of a car's front or rear, as a surface to put things on."""

    def __init__(self, body: Body, eye: _View, *, front: bool) -> None:
        self.low, self.high = (body.profile[-1], body.profile[-2]) if front else body.profile[:2]
        self.eye, self.front = eye, front

    def patch(self, codes: Codes, across: Point, up: Point, fill: int) -> None:
        """Paint a rectangle, given in cm across the car and above the ground."""
        corners = [(across[0], up[0]), (across[0], up[1]), (across[1], up[1]), (across[1], up[0])]
        face = [self.eye.project(self._along(u), w, u) for w, u in corners]
        if _facing(face) != self.front:
            polygon(codes, face, fill)

    def _along(self, up: int) -> int:
        (a0, u0), (a1, u1) = self.low, self.high
        return a0 + (a1 - a0) * min(up - u0, u1 - u0) // (u1 - u0)


def _rear_window(codes: Codes, body: Body, eye: _View) -> None:
    rear, top = body.profile[1], body.profile[2]
    if top[1] - rear[1] < 60:
        return
    half = _half_width(body, top[1]) - 14
    low, high = rear[1] + (top[1] - rear[1]) * 2 // 5, top[1] - 14
    face = [
        (rear[0] + 2, w, u) for w, u in ((-half, low), (-half, high), (half, high), (half, low))
    ]
    outline = [eye.project(*point) for point in face]
    if _facing(outline):
        polygon(codes, outline, code(GLASS, 7))


def car_colours(dice: Dice) -> tuple[Colour, ...]:
    """One colour for each part, in the order of the part numbers."""
    red, green, blue = dice.pick(PAINTS)
    move = dice.between(-14, 14)
    glass = dice.between(40, 84)
    plate = dice.pick(((226, 226, 220), (224, 196, 70)))
    return (
        (red + move, green + move, blue + move),
        (glass, glass + 8, glass + 16),
        (42, 42, 44),
        (150, 152, 156) if dice.chance(75) else (64, 64, 66),
        (176, 32, 32),
        (236, 234, 220),
        (34, 34, 36),
        plate,
    )


def turned(heading10: int, x: int, z: int) -> tuple[int, bool]:
    """The view (and whether to mirror it) of a car heading `heading10` tenths of a degree right.

    Seen off the axis, a car shows more of its side: the angle of sight is taken off the heading.
    """
    sight10 = _angle10(x, z)
    step = ((heading10 - sight10 + 37) // 75) % 48
    return (step, False) if step < VIEWS else (48 - step, True)


def _angle10(x: int, z: int) -> int:
    """Tenths of a degree of atan(x / z), for z > 0; within half a degree up to 45."""
    size = abs(x)
    if size > z:
        return (1 if x > 0 else -1) * (900 - abs(_angle10(z, size)))
    ratio = size * 1024 // z
    angle = ratio * (450 + 156 * (1024 - ratio) // 1024) // 1024
    return angle if x > 0 else -angle
