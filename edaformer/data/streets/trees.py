"""Trees, bushes and hedges: clumps of leaves lit from the left, with an honest doubtful rim.

No one can say to which class a pixel belongs that half a leaf covers, so the outermost leaves carry
a part of their own, which the label table maps to void.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edaformer.data.streets.dice import Dice, cloud_field, grain, smooth_noise
from edaformer.data.streets.optics import Colour
from edaformer.data.streets.raster import CLEAR, SUB, Codes, Sprite, limb, trimmed

TREES = 20
BUSHES = 6
PER_METRE = 40
HEDGE_PER_METRE = 40

LEAF, BARK, RIM, LEAF2 = 1, 2, 3, 4

GREENS: tuple[Colour, ...] = (
    (74, 104, 46),
    (92, 124, 58),
    (58, 88, 48),
    (112, 130, 60),
    (84, 102, 70),
    (128, 118, 52),
    (150, 96, 44),
    (48, 72, 44),
)
BARKS: tuple[Colour, ...] = ((96, 80, 66), (74, 62, 54), (122, 112, 100), (104, 88, 62))


@lru_cache(maxsize=TREES)
def tree(number: int) -> Sprite:
    """One of the drawn trees, 4 to 9 m tall."""
    dice = Dice(3000 + number)
    shape = ("round", "round", "column", "cone", "spread")[number % 5]
    tall, wide = _size(dice, shape)
    codes = np.zeros((tall + 4, wide + 8), np.uint8)
    middle = codes.shape[1] // 2
    trunk = tall * dice.between(26, 40) // 100 if shape != "cone" else tall // 8
    _trunk(codes, dice, middle, tall, trunk)
    _crown(codes, dice, shape, middle, tall - trunk)
    return trimmed(codes, middle, PER_METRE)


def _size(dice: Dice, shape: str) -> tuple[int, int]:
    tall = dice.between(180, 340)
    share = {"round": (62, 80), "column": (26, 36), "cone": (40, 54), "spread": (78, 100)}[shape]
    return tall, tall * dice.between(*share) // 100


def _trunk(codes: Codes, dice: Dice, middle: int, tall: int, bare: int) -> None:
    radius = dice.between(5, 10) * SUB
    foot, fork = (middle * SUB, tall * SUB), (middle * SUB, (tall - bare) * SUB)
    limb(codes, foot, fork, (radius, radius * 3 // 4), BARK, level=8, swing=7)
    for side in (-1, 1):
        tip = ((middle + side * dice.between(12, 34)) * SUB, (tall - bare - 50) * SUB)
        limb(codes, fork, tip, (radius // 2, radius // 4), BARK, level=6, swing=4)
    noise = np.tile(grain(dice.below(4)), (2, 2))[: codes.shape[0], : codes.shape[1]]
    rough: Codes = (noise >> 6).astype(np.uint8)
    bark = (codes >> 4) == BARK
    codes[bark] = codes[bark] - np.minimum(codes[bark] & 15, rough[bark])


def _crown(codes: Codes, dice: Dice, shape: str, middle: int, reach: int) -> None:
    """Many clumps of leaves inside an outline: each is a lit ball, and noise eats its edge."""
    height, width = codes.shape
    density = np.zeros((height, width), np.int32)
    light = np.zeros((height, width), np.int32)
    for _ in range(dice.between(70, 130)):
        y = dice.between(reach // 10, reach)
        room = _room(shape, y, reach, width)
        radius = min(dice.between(width // 16 + 5, width // 9 + 8), room // 2 + 8)
        x = middle + dice.between(-room, room)
        _ball(density, light, x, max(y, radius + 2), radius)
    # Leaves far to the right and low down get less of the light from the upper left.
    down = np.arange(height, dtype=np.int32)[:, None]
    across = np.arange(width, dtype=np.int32)[None, :]
    light -= (across - middle) * 3 // max(width // 2, 1) + (2 * down - reach) * 2 // reach
    crown = _leafy(density, light, dice)
    np.copyto(codes, crown, where=crown != CLEAR)


def _room(shape: str, y: int, reach: int, width: int) -> int:
    """Half the width of the crown's outline at row y."""
    half = width * 2 // 5
    if shape == "cone":
        return half * y // reach
    if shape == "column":
        return half * 3 // 4
    # An ellipse, by the square of its half chord: no square root needed.
    from_middle = 2 * y - reach
    share = 1024 - from_middle * from_middle * 1024 // (reach * reach)
    return half * (share + 200) // 1224


def _ball(
    density: NDArray[np.int32], light: NDArray[np.int32], x: int, y: int, radius: int
) -> None:
    top, bottom = max(y - radius, 0), min(y + radius, density.shape[0])
    left, right = max(x - radius, 0), min(x + radius, density.shape[1])
    dy = np.arange(top - y, bottom - y, dtype=np.int32)[:, None]
    dx = np.arange(left - x, right - x, dtype=np.int32)[None, :]
    thick = 256 - (dx * dx + dy * dy) * 256 // (radius * radius)
    target = density[top:bottom, left:right]
    front = thick > 0
    lit = 8 - (dx * 2 + dy * 4) // radius
    np.copyto(light[top:bottom, left:right], lit, where=front & (thick > 40))
    np.maximum(target, thick, out=target)


def _leafy(density: NDArray[np.int32], light: NDArray[np.int32], dice: Dice) -> Codes:
    height, width = density.shape
    leaves = _foliage(dice.below(4))[:height, :width]
    tufts = cloud_field(2)[:height, :width].astype(np.int32)
    rough = density - leaves * 9 // 16 - tufts // 8
    level = np.clip(light + (leaves - 118) // 14 + (tufts - 128) // 24, 0, 15)
    # The sky shows through where two clumps barely meet.
    part = np.where(rough > 16, np.where(leaves > 140, LEAF2, LEAF), RIM)
    return np.where(rough > 0, part * 16 + level, CLEAR).astype(np.uint8)


@lru_cache(maxsize=4)
def _foliage(seed: int) -> NDArray[np.int32]:
    """Leaf-sized blobs, 0..255, of three sizes."""
    small, middle, large = (smooth_noise(40 + seed, 480, 480, cell) for cell in (3, 6, 15))
    mixed: NDArray[np.int32] = (2 * small + 3 * middle + 3 * large) // 8 * 2 - 128
    return np.clip(mixed, 0, 255).astype(np.int32)


@lru_cache(maxsize=BUSHES)
def bush(number: int) -> Sprite:
    """One of the drawn bushes, about as wide as tall."""
    dice = Dice(3500 + number)
    tall, wide = dice.between(50, 90), dice.between(60, 120)
    codes = np.zeros((tall, wide), np.uint8)
    density, light = np.zeros((tall, wide), np.int32), np.zeros((tall, wide), np.int32)
    for _ in range(40):
        radius = dice.between(10, 17)
        x, y = dice.between(radius, wide - radius), dice.between(radius, tall + 4)
        _ball(density, light, x, y, radius)
    crown = _leafy(density, light, dice)
    np.copyto(codes, crown, where=crown != CLEAR)
    return trimmed(codes, wide // 2, PER_METRE)


@lru_cache(maxsize=4)
def hedge(number: int) -> Codes:
    """A clipped hedge as a wall texture: row 0 is the ground, then upwards; tiles sideways."""
    dice = Dice(3800 + number)
    tall, wide = dice.between(40, 80), 256
    leaves = _foliage(dice.below(4))[:tall, :wide]
    tufts = cloud_field(2)[:tall, :wide].astype(np.int32)
    up = np.arange(tall, dtype=np.int32)[:, None]
    level = np.clip(5 + up * 5 // tall + (leaves - 128) // 16 + (tufts - 128) // 20, 0, 15)
    ragged = up + (tufts >> 4) + (leaves >> 5)
    part = np.where(ragged > tall + 6, RIM, np.where(leaves > 150, LEAF2, LEAF))
    codes = np.where(ragged > tall + 10, CLEAR, part * 16 + level).astype(np.uint8)
    codes[0] = CLEAR
    codes[-1] = CLEAR
    return codes


def tree_colours(dice: Dice) -> tuple[Colour, ...]:
    """One colour for each part, in the order of the part numbers."""
    red, green, blue = dice.pick(GREENS)
    move = dice.between(-16, 16)
    leaf = (red + move, green + move, blue + move)
    other = (leaf[0] + dice.between(-6, 20), leaf[1] + dice.between(-6, 14), leaf[2])
    return (leaf, dice.pick(BARKS), leaf, other)


def tree_labels(tree_label: int, void: int) -> tuple[int, ...]:
    """The label of each part; the rim is void."""
    return (tree_label, tree_label, void, tree_label)
