"""Sky, clouds, and the hazy skyline that closes every street."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edaformer.data.streets.dice import Dice, cloud_field
from edaformer.data.streets.optics import BRIGHTEST, DARKEST, Canvas, Colour

_BANDS = 32
_SHADES = 128

# zenith, horizon, cloud
CLEAR_SKIES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((84, 138, 214), (186, 212, 236), (248, 248, 248)),
    ((108, 152, 206), (216, 222, 226), (240, 238, 232)),
    ((62, 112, 190), (160, 196, 232), (255, 252, 246)),
)
OVERCAST_SKIES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((168, 174, 182), (214, 216, 218), (196, 198, 204)),
    ((196, 198, 200), (228, 228, 226), (236, 236, 236)),
    ((128, 136, 146), (186, 190, 194), (150, 156, 164)),
)
DUSK_SKIES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((66, 82, 128), (236, 178, 128), (198, 132, 120)),
    ((92, 100, 140), (224, 190, 170), (150, 120, 136)),
    ((40, 52, 92), (150, 118, 124), (92, 84, 112)),
)


def draw_sky(
    canvas: Canvas, dice: Dice, colours: tuple[Colour, Colour, Colour], label: int
) -> None:
    """Fill everything above the horizon (and one row below it, for rounding)."""
    camera = canvas.camera
    rows = min(camera.horizon + 1, camera.height)
    field = cloud_field(dice.below(3))
    cover = dice.between(60, 190)
    table = _sky_table(colours, cover, label)
    # Clouds crowd together towards the horizon, as on a flat ceiling.
    height = np.arange(rows, 0, -1, dtype=np.int64) * 1000 // camera.focal
    stretch = dice.between(60, 160) * 600 // (height + 160)
    y = (stretch + dice.below(512)) % 512
    zoom = dice.between(300, 700)
    x = (np.arange(camera.width) * zoom // camera.focal + dice.below(1024)) % 1024
    shade = (field >> 1).take(y, axis=0).take(x, axis=1)
    band = (np.arange(rows) * (_BANDS - 1) // max(rows - 1, 1)).astype(np.uint16)
    index = shade + (band * np.uint16(_SHADES))[:, None]
    canvas.pixels[:rows] = table.take(index)


def _sky_table(
    colours: tuple[Colour, Colour, Colour], cover: int, label: int
) -> NDArray[np.uint32]:
    zenith, horizon, cloud = (np.array(colour, np.int32) for colour in colours)
    band = np.arange(_BANDS, dtype=np.int32)[:, None, None]
    clear = zenith + (horizon - zenith) * band // (_BANDS - 1)
    shade = np.arange(_SHADES, dtype=np.int32)[None, :, None] * 2
    thick = np.clip((shade - cover) * 5 // 2, 0, 220)
    # The underside of a thick cloud is darker.
    bulk = np.clip(shade - cover - 40, 0, 90) // 3
    mixed = clear + ((cloud - clear) * thick >> 8) - bulk
    packed = np.empty((_BANDS, _SHADES, 4), np.uint8)
    packed[:, :, :3] = np.clip(mixed, DARKEST, BRIGHTEST)
    packed[:, :, 3] = label
    return packed.view(np.uint32).reshape(-1)


def draw_skyline(canvas: Canvas, dice: Dice, building: int, tree: int) -> None:
    """Distant roofs and tree tops along the horizon, half lost in haze."""
    camera = canvas.camera
    x = -dice.below(camera.width // 8 + 1)
    while x < camera.width:
        wide = camera.focal * dice.between(3, 16) // 100 + 2
        if dice.chance(45):
            _far_trees(canvas, dice, x, wide, tree)
        else:
            _far_block(canvas, dice, x, wide, building)
        x += wide
    base = slice(camera.horizon, min(camera.horizon + 1, camera.height))
    canvas.pixels[base] = canvas.pixels[max(camera.horizon - 1, 0)]


def _far_block(canvas: Canvas, dice: Dice, x: int, wide: int, label: int) -> None:
    camera = canvas.camera
    tall = camera.focal * dice.between(3, 15) // 100 + 1
    tone = dice.between(90, 200)
    colour = (tone + dice.between(-8, 24), tone, tone + dice.between(-24, 8))
    table = canvas.table((colour,), label, dice.between(7000, 16000))
    left, right = max(x, 0), min(x + wide, camera.width)
    if left >= right:
        return
    rows = slice(max(camera.horizon - tall, 0), camera.horizon + 1)
    window = canvas.pixels[rows, left:right]
    window[:] = table[16 + 8]
    # Rows of windows, too small for more than a tone.
    step = max(camera.focal // 90, 2)
    window[step::step, 1 :: max(step // 2 + 1, 2)] = table[16 + 5]


def _far_trees(canvas: Canvas, dice: Dice, x: int, wide: int, label: int) -> None:
    camera = canvas.camera
    left, right = max(x, 0), min(x + wide, camera.width)
    if left >= right:
        return
    field = cloud_field(1)
    base = camera.focal * dice.between(2, 7) // 100 + 1
    columns = np.arange(left, right)
    bumps = field[dice.below(512)].take((columns * 2600 // camera.focal) % 1024)
    tall = base * (96 + bumps.astype(np.int64)) // 200
    top = max(camera.horizon - int(tall.max()), 0)
    rows = np.arange(top, min(camera.horizon + 1, camera.height))
    green = dice.between(60, 110)
    colour = (green - dice.between(0, 30), green, green - dice.between(20, 50))
    table = canvas.table((colour,), label, dice.between(5000, 12000))
    grains = field[rows[:, None] * 7 % 512, columns[None, :] * 7 % 1024]
    codes = np.where(rows[:, None] >= camera.horizon - tall, 16 + 4 + (grains >> 5), 0)
    canvas.blend(canvas.pixels[top : int(rows[-1]) + 1, left:right], codes, table, gaps=False)
