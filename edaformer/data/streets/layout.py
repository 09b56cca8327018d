"""Where everything stands: camera, weather, the plan of a street, and what is on it.

Every scene throws all its dice here, from one seed. Small classes are placed more often and nearer
than in real traffic: a network can only learn poles and bicyclists from pixels it gets to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from edaformer.data.streets import cars, furniture, people, trees
from edaformer.data.streets.dice import Dice
from edaformer.data.streets.facades import (
    Building,
    draw_across,
    draw_plane,
    draw_row,
    floors_only,
    raise_building,
    sight,
)
from edaformer.data.streets.ground import Street, draw_ground, reflect
from edaformer.data.streets.labels import (
    BICYCLIST,
    BUILDING,
    CAR,
    FENCE,
    PAVEMENT,
    PEDESTRIAN,
    POLE,
    ROAD,
    SIGN,
    SKY,
    TREE,
    VOID,
)
from edaformer.data.streets.optics import Camera, Canvas, Colour, Light
from edaformer.data.streets.raster import Sprite, cosine, sine
from edaformer.data.streets.sky import (
    CLEAR_SKIES,
    DUSK_SKIES,
    OVERCAST_SKIES,
    draw_sky,
    draw_skyline,
)

Skies: TypeAlias = tuple[tuple[Colour, Colour, Colour], ...]


@dataclass(frozen=True)
class Thing:
    """Something on the street, painted when its turn by depth comes."""

    z: int
    paint: Callable[[Canvas], None]


# --- camera and weather --------------------------------------------------------------------------


def set_camera(dice: Dice, height: int, width: int, street: Street) -> Camera:
    """Mostly from a car or a pavement, now and then from higher up."""
    high = dice.chance(18)
    eye = dice.between(280, 520) if high else dice.between(125, 215)
    # Very wide or very tall pictures keep the scale of their shorter side.
    span = min(width, height * 5 // 3)
    horizon = height * (dice.between(26, 40) if high else dice.between(38, 56)) // 100
    lane = street.road[1] if dice.chance(50) else -street.road[0]
    on_pavement = dice.chance(12)
    shift = lane * (115 if on_pavement else dice.between(0, 62)) // 100
    return Camera(
        height=height,
        width=width,
        focal=max(span * dice.between(70, 105) // 100, 16),
        horizon=horizon,
        vanish=width * dice.between(34, 66) // 100,
        eye=eye,
        shift=shift,
        bend=dice.pick((0, 0, 0, dice.between(-700, 700))),
    )


def set_weather(dice: Dice) -> tuple[Light, Skies]:
    """Sunny, overcast, dusk, fog or rain."""
    kind = dice.pick(
        ("sun", "sun", "sun", "cloud", "cloud", "cloud", "dusk", "dusk", "fog", "rain")
    )
    warm = dice.between(-8, 12)
    tints: dict[str, Colour] = {
        "sun": (268 + warm, 258, 242 - warm),
        "cloud": (232 + warm, 236, 242),
        "dusk": (214 + 3 * warm, 180, 178 - warm),
        "fog": (236, 238, 240),
        "rain": (186 + warm, 194, 204),
    }
    fogs: dict[str, tuple[Colour, int]] = {
        "sun": ((196, 210, 224), dice.between(25000, 60000)),
        "cloud": ((204, 208, 212), dice.between(14000, 40000)),
        "dusk": ((178, 148, 138), dice.between(14000, 40000)),
        "fog": ((206, 208, 210), dice.between(3500, 7000)),
        "rain": ((166, 172, 178), dice.between(7000, 14000)),
    }
    fog, depth = fogs[kind]
    light = Light(
        tint=tints[kind],
        contrast=30 if kind == "sun" else dice.between(17, 24),
        fog=fog,
        fog_depth=depth,
        sun=dice.side(),
        sunny=kind == "sun",
        wet=kind == "rain" or dice.chance(5),
    )
    skies = {"sun": CLEAR_SKIES, "dusk": DUSK_SKIES}.get(kind, OVERCAST_SKIES)
    return light, skies


# --- the plan ------------------------------------------------------------------------------------


def plan_street(dice: Dice) -> Street:
    """Widths, lanes, a junction and a crossing, and where the street ends."""
    road = (dice.between(230, 560), dice.between(230, 560))
    front = (road[0] + dice.between(180, 520), road[1] + dice.between(180, 520))
    junctions: tuple[tuple[int, int, int], ...] = ()
    if dice.chance(40):
        begin = dice.between(900, 3200)
        junctions = ((begin, begin + dice.between(600, 1100), dice.between(-1, 1)),)
    crossing = junctions[0][0] - 420 if junctions and dice.chance(60) else dice.between(500, 2200)
    return Street(
        road=road,
        front=front,
        lanes=dice.pick((1, 2, 2, 2, 3)) if road[0] + road[1] < 800 else dice.pick((2, 3, 4)),
        junctions=junctions,
        zebra=crossing if dice.chance(35) else 0,
        end=dice.pick((FAR_END, dice.between(4000, 12000))),
    )


FAR_END = 24000


def _frontage(dice: Dice, street: Street, side: int) -> list[Building]:
    """The buildings of one side, from near to far; none beside a park."""
    kind = dice.pick(("dense", "dense", "dense", "loose", "park"))
    buildings: list[Building] = []
    z = dice.between(-400, 200)
    if kind == "park":
        z = dice.between(2500, 6000)
    while z < street.end:
        length = dice.between(7, 22) * 100
        end = min(z + length, street.end)
        if not _in_junction(street, side, z, end):
            buildings.append(raise_building(dice, z, end))
        z = end
        if kind == "loose" and dice.chance(60):
            z += dice.between(300, 1400)
        if z > 12000:
            # Too far to tell houses apart: one long block closes the row.
            buildings.append(raise_building(dice, z, street.end + 1))
            break
    return buildings


def _in_junction(street: Street, side: int, begin: int, end: int) -> bool:
    return any(
        where in (0, side) and begin < last and end > first
        for first, last, where in street.junctions
    )


# --- painting ------------------------------------------------------------------------------------


def paint_street(canvas: Canvas, dice: Dice, street: Street, skies: Skies) -> None:
    """Everything, from the sky to the nearest thing."""
    draw_sky(canvas, dice, dice.pick(skies), SKY)
    draw_skyline(canvas, dice.fork(), BUILDING, TREE)  # how often it throws depends on the width
    draw_ground(canvas, dice, street, ROAD, PAVEMENT)
    if street.end < FAR_END:
        _close_street(canvas, dice, street)
    rows = [_frontage(dice, street, side) for side in (-1, 1)]
    for side, row in zip((-1, 1), rows, strict=True):
        lit = 256 + (34 if canvas.light.sunny else 8) * side * canvas.light.sun * -1
        x = side * street.front[side > 0]
        draw_row(canvas, row, x, label=BUILDING, lit=lit, near=150)
    if canvas.light.wet:
        reflect(canvas, dice, ROAD)
    things = [
        *_edges(canvas, dice, street, rows),
        *_greenery(canvas.camera, dice, street, rows),
        *_posts(canvas.camera, dice, street),
        *_traffic(canvas.camera, dice, street),
        *_people(canvas.camera, dice, street),
    ]
    for thing in sorted(things, key=lambda thing: -thing.z):
        thing.paint(canvas)


def _close_street(canvas: Canvas, dice: Dice, street: Street) -> None:
    x = -street.front[0] - dice.between(800, 3000)
    while x < street.front[1] + 2500:
        building = floors_only(raise_building(dice, 0, 0))
        draw_across(canvas, building, x, street.end, BUILDING)
        x += 1280


# --- placing -------------------------------------------------------------------------------------


def _depth(dice: Dice, near: int, far: int) -> int:
    """Half the time evenly spread on the picture, half the time on the ground."""
    z = dice.between(near, far)
    return near * far // z if dice.chance(50) else z


def _seen(camera: Camera, x: int, z: int) -> int:
    """z, or the nearest depth beyond it at which x is well inside the picture."""
    right = x > camera.shift
    room = camera.width - camera.vanish if right else camera.vanish
    needed = camera.focal * abs(x - camera.shift) // max(room * 9 // 10, 1)
    return max(z, needed)


def _on_pavement(dice: Dice, street: Street, side: int) -> int:
    inner, outer = street.road[side > 0] + 35, street.front[side > 0] - 40
    return side * dice.between(inner, max(outer, inner))


def _stand(
    canvas: Canvas,
    sprite: Sprite,
    colours: tuple[Colour, ...],
    labels: int | tuple[int, ...],
    place: tuple[int, int],
    *,
    size: int = 100,
    flip: bool = False,
) -> None:
    """Stamp a sprite at a place (x, z) on the ground; too small to tell is void."""
    x, z = place
    camera = canvas.camera
    scale = camera.per_metre(z) * size // 100
    if sprite.codes.shape[0] * scale // (sprite.per_metre * 256) < 5:
        labels = VOID
    table = canvas.table(colours, labels, z)
    canvas.stamp(sprite, camera.column(x, z), camera.row(z) + 1, scale, table, flip=flip)


def _shadow(canvas: Canvas, x: int, z: int, wide: int, deep: int, *, tall: int = 0) -> None:
    """The dark patch under a thing, and on sunny days the one it throws."""
    camera = canvas.camera
    scale = camera.per_metre(z)
    across = max(wide * scale // 51200, 1)
    flat = max(camera.focal * camera.eye // z * deep // (2 * z), 1)
    canvas.shade(camera.column(x, z), camera.row(z), across, flat, 2)
    if canvas.light.sunny and tall:
        reach = tall * scale // 38400
        column = camera.column(x, z) - canvas.light.sun * reach
        canvas.shade(column, camera.row(z), reach + across, max(flat // 2, 1), 1)


# --- what stands along the pavements -------------------------------------------------------------


def _edges(canvas: Canvas, dice: Dice, street: Street, rows: list[list[Building]]) -> list[Thing]:
    """Fences along the kerb or the frontage, and hedges before open ground."""
    things: list[Thing] = []
    for side, row in zip((-1, 1), rows, strict=True):
        if not row or row[0].start > 1500:
            things += _along(
                canvas, dice, street, side, x=side * (street.front[side > 0] - 20), hedges=80
            )
        if dice.chance(45):
            inset = dice.pick((25, 35, 60))
            things += _along(
                canvas, dice, street, side, x=side * (street.road[side > 0] + inset), hedges=5
            )
        elif dice.chance(30):
            things += _along(
                canvas, dice, street, side, x=side * (street.front[side > 0] - 60), hedges=15
            )
    return things


def _along(
    canvas: Canvas, dice: Dice, street: Street, side: int, *, x: int, hedges: int
) -> list[Thing]:
    """A fence or hedge parallel to the street, in short pieces so that it sorts by depth."""
    begin = dice.between(150, 1200)
    end = begin + dice.between(900, 3600)
    wall = sight(canvas.camera, x, 120, 8000)
    hedge = dice.chance(hedges // 2)
    codes = trees.hedge(dice.below(4)) if hedge else furniture.fence(dice.below(furniture.FENCES))
    colours = trees.tree_colours(dice) if hedge else furniture.fence_colours(dice)
    labels = trees.tree_labels(TREE, VOID) if hedge else (FENCE,) * len(colours)
    per_metre = (
        trees.HEDGE_PER_METRE if hedge else furniture.FENCE_PER_METRE * 100 // dice.between(90, 150)
    )

    def piece(start: int, stop: int) -> Thing:
        def paint(canvas: Canvas) -> None:
            table = canvas.table(colours, labels, (start + stop) // 2)
            draw_plane(
                canvas, wall, codes, (start, stop), table, per_metre=per_metre, gaps=not hedge
            )

        return Thing((start + stop) // 2, paint)

    return [
        piece(z, min(z + 400, end))
        for z in range(begin, end, 400)
        if not _in_junction(street, side, z, z + 400)
    ]


def _greenery(
    camera: Camera, dice: Dice, street: Street, rows: list[list[Building]]
) -> list[Thing]:
    things: list[Thing] = []
    for side, row in zip((-1, 1), rows, strict=True):
        park = not row or row[0].start > 1500
        count = dice.between(4, 7) if park else dice.pick((0, 1, 2, 3))
        for _ in range(count):
            out = dice.between(0, 900) if park else -dice.between(60, 140)
            x = side * (street.front[side > 0] + out)
            if not park and dice.chance(60):
                x = side * (street.road[side > 0] + dice.between(40, 90))
            z = _seen(camera, x, _depth(dice, 700, 5000))
            things.append(_tree(dice, x, z))
        if dice.chance(30):
            x = side * (street.front[side > 0] - dice.between(40, 110))
            z = _seen(camera, x, _depth(dice, 500, 2500))
            things.append(_bush(dice, x, z))
    return things


def _tree(dice: Dice, x: int, z: int) -> Thing:
    sprite, colours = trees.tree(dice.below(trees.TREES)), trees.tree_colours(dice)
    size, labels = dice.between(75, 130), trees.tree_labels(TREE, VOID)

    def paint(canvas: Canvas) -> None:
        _shadow(canvas, x, z, 160, 120, tall=220)
        _stand(canvas, sprite, colours, labels, (x, z), size=size, flip=canvas.light.sun > 0)

    return Thing(z, paint)


def _bush(dice: Dice, x: int, z: int) -> Thing:
    sprite, colours = trees.bush(dice.below(trees.BUSHES)), trees.tree_colours(dice)
    size, labels = dice.between(50, 90), trees.tree_labels(TREE, VOID)

    def paint(canvas: Canvas) -> None:
        _shadow(canvas, x, z, 120, 100)
        _stand(canvas, sprite, colours, labels, (x, z), size=size, flip=canvas.light.sun > 0)

    return Thing(z, paint)


def _posts(camera: Camera, dice: Dice, street: Street) -> list[Thing]:
    """Lamp posts in a row, and signs and traffic lights on posts of their own."""
    things: list[Thing] = []
    for side in (-1, 1):
        if dice.chance(70):
            kind, colours = dice.below(furniture.POLES), furniture.pole_colours(dice)
            x = side * (street.road[side > 0] + dice.between(35, 80))
            z = _seen(camera, x, dice.between(450, 1100))
            spacing = dice.between(1100, 2400)
            for _ in range(3):
                things.append(_lamp_post(kind, colours, x, z, side))
                z += spacing
    for _ in range(dice.between(2, 5)):
        side = dice.side()
        x = side * (street.road[side > 0] + dice.between(30, 110))
        z = _seen(camera, x, _depth(dice, 450, 2200))
        things.append(_sign(dice, x, z))
    for _ in range(dice.between(0, 2)):
        side = dice.side()
        x = _on_pavement(dice, street, side)
        z = _seen(camera, x, _depth(dice, 400, 1200))
        things.append(_bare_post(dice, x, z))
    return things


def _lamp_post(kind: int, colours: tuple[Colour, ...], x: int, z: int, side: int) -> Thing:
    sprite = furniture.pole(kind)

    def paint(canvas: Canvas) -> None:
        _shadow(canvas, x, z, 40, 40, tall=200)
        _stand(canvas, sprite, colours, POLE, (x, z), flip=side > 0)

    return Thing(z, paint)


def _bare_post(dice: Dice, x: int, z: int) -> Thing:
    up, radius = dice.pick((100, 320, 450, 600)), dice.between(7, 15)
    colour = dice.pick(furniture.POLE_COLOURS)

    def paint(canvas: Canvas) -> None:
        _shadow(canvas, x, z, 40, 40, tall=up // 2)
        furniture.draw_post(canvas, x, z, up=up, radius=radius, colour=colour, label=POLE)

    return Thing(z, paint)


def _sign(dice: Dice, x: int, z: int) -> Thing:
    number = dice.below(furniture.SIGNS)
    sprite, colours = furniture.sign(number), furniture.sign_colours(dice, number)
    up, radius = dice.between(190, 270), dice.between(5, 9)
    steel = dice.pick(furniture.POLE_COLOURS)
    size = dice.between(65, 110) if furniture.is_board(number) else dice.between(90, 150)
    second = furniture.sign(dice.below(3)) if dice.chance(25) else None

    def paint(canvas: Canvas) -> None:
        camera = canvas.camera
        scale = camera.per_metre(z)
        tall = sprite.codes.shape[0] * size // sprite.per_metre
        furniture.draw_post(
            canvas, x, z, up=up + tall * 3 // 4, radius=radius, colour=steel, label=POLE
        )
        table = canvas.table(colours, SIGN, z)
        column, ground = camera.column(x, z), camera.row(z)
        canvas.stamp(sprite, column, ground - up * scale // 25600, scale * size // 100, table)
        if second is not None:
            below = ground - (up - 85) * scale // 25600
            canvas.stamp(second, column, below, scale, table)

    return Thing(z, paint)


# --- traffic and people --------------------------------------------------------------------------


def _traffic(camera: Camera, dice: Dice, street: Street) -> list[Thing]:
    things: list[Thing] = []
    left_hand = dice.chance(50)
    for side in (-1, 1):
        oncoming = (side < 0) != left_hand
        if dice.chance(60):
            x = side * (street.road[side > 0] - dice.between(95, 120))
            z = _seen(camera, x, dice.between(550, 1500))
            for _ in range(dice.between(1, 4)):
                heading = 1800 if oncoming and dice.chance(80) else 0
                things.append(_car(dice, x, z, heading + dice.between(-30, 30)))
                z += dice.between(560, 1100)
        if dice.chance(55):
            x = side * street.road[side > 0] * dice.between(30, 60) // 100
            z = _seen(camera, x, _depth(dice, 750, 4500))
            things.append(_car(dice, x, z, (1800 if oncoming else 0) + dice.between(-60, 60)))
    if dice.chance(18):
        z = _depth(dice, 900, 2600)
        x = dice.between(-street.road[0], street.road[1])
        things.append(_car(dice, x, z, dice.pick((900, 2700)) + dice.between(-200, 200)))
    return things


def _car(dice: Dice, x: int, z: int, heading10: int) -> Thing:
    kind = dice.pick((0, 0, 0, 1, 1, 1, 2, 2, 3, 4))
    colours = cars.car_colours(dice)

    def paint(canvas: Canvas) -> None:
        step, flip = cars.turned(heading10, x - canvas.camera.shift, z)
        sprite = cars.view(kind, step)
        body = cars.BODIES[kind]
        turn = step * 15 // 2
        long = abs(cosine(turn, body.profile[-1][0]))
        wide = abs(sine(turn, body.profile[-1][0])) + abs(cosine(turn, body.width // 2))
        nearest = max(z - long * 8 // 10 - abs(sine(turn, body.width // 2)), 100)
        camera = canvas.camera
        _shadow(canvas, x, z, wide * 2 + 30, 2 * long + 120, tall=120)
        scale = camera.per_metre(z)
        small = sprite.codes.shape[0] * scale // (sprite.per_metre * 256) < 4
        table = canvas.table(colours, VOID if small else CAR, z)
        canvas.stamp(sprite, camera.column(x, z), camera.row(nearest), scale, table, flip=flip)

    return Thing(z, paint)


def _people(camera: Camera, dice: Dice, street: Street) -> list[Thing]:
    things: list[Thing] = []
    for _ in range(dice.between(3, 8)):
        side = dice.side()
        x = _on_pavement(dice, street, side)
        if dice.chance(22):
            x = dice.between(-street.road[0], street.road[1])
        z = _seen(camera, x, _depth(dice, 450, 2400))
        things.append(_walker(dice, x, z))
        if dice.chance(25):
            things.append(_walker(dice, x + dice.between(45, 70), z + dice.between(-30, 30)))
    for _ in range(dice.between(1, 3)):
        side = dice.side()
        x = side * (street.road[side > 0] - dice.between(20, 130))
        z = _seen(camera, x, _depth(dice, 450, 2000))
        things.append(_cyclist(dice, x, z))
    return things


def _walker(dice: Dice, x: int, z: int) -> Thing:
    sprite, colours = people.walker(dice.below(people.WALKERS)), people.person_colours(dice)
    size = dice.between(58, 80) if dice.chance(12) else dice.between(90, 112)
    flip = dice.chance(50)

    def paint(canvas: Canvas) -> None:
        _shadow(canvas, x, z, 60, 50, tall=110)
        _stand(canvas, sprite, colours, PEDESTRIAN, (x, z), size=size, flip=flip)

    return Thing(z, paint)


def _cyclist(dice: Dice, x: int, z: int) -> Thing:
    sprite, colours = people.rider(dice.below(people.RIDERS)), people.person_colours(dice)
    size, flip = dice.between(92, 110), dice.chance(50)

    def paint(canvas: Canvas) -> None:
        _shadow(canvas, x, z, 120, 60, tall=100)
        _stand(canvas, sprite, colours, BICYCLIST, (x, z), size=size, flip=flip)

    return Thing(z, paint)
