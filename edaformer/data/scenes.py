"""Drawn street scenes with exact labels: a data set that needs no download and no licence.

A seed and a size give one scene, byte for byte the same on every machine and with every NumPy:
the randomness is SplitMix64 and everything that decides a pixel is integer arithmetic. The classes,
their order and their colours are those of CamVid's common eleven, so that one set of class names
serves the drawn scenes and the real ones.

Label conventions: a railing is labelled as its outline, gaps included, and so are the wheels of a
bicycle (as people label them); traffic lights are sign symbols; vans and buses are cars. Void (11)
is kept for what is truly in doubt: the rim of foliage, and things less than 5 pixels tall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaformer.data.classes import CAMVID
from edaformer.data.streets.dice import Dice
from edaformer.data.streets.labels import VOID
from edaformer.data.streets.layout import paint_street, plan_street, set_camera, set_weather
from edaformer.data.streets.lens import expose, random_lens
from edaformer.data.streets.optics import Canvas
from edaformer.errors import InputError

CLASSES = CAMVID.classes
PALETTE = CAMVID.palette
IGNORE_LABEL = VOID

SMALLEST, LARGEST = 64, 2048
# Seeds 0 .. 2³¹-1 are for training, 2³¹ .. 2³²-1 are held out: never train on those.
HELD_OUT = 1 << 31


@dataclass(frozen=True)
class Scene:
    """A picture and the class of each of its pixels."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    labels: NDArray[np.uint8]  # (H, W), 0-10 or IGNORE_LABEL


def draw_scene(seed: int, height: int, width: int) -> Scene:
    """The street scene of a seed; another size of the same shape is the same scene, finer."""
    seed = _checked("seed", seed, 0, (1 << 64) - 1)
    height = _checked("height", height, SMALLEST, LARGEST)
    width = _checked("width", width, SMALLEST, LARGEST)
    dice = Dice(seed)
    street = plan_street(dice)
    camera = set_camera(dice, height, width, street)
    light, skies = set_weather(dice)
    lens = random_lens(dice, dark=light.wet)
    canvas = Canvas(camera, light)
    paint_street(canvas, dice, street, skies)
    labels = canvas.pixels.view(np.uint8).reshape(height, width, 4)[:, :, 3].copy()
    return Scene(expose(canvas.pixels, lens, dice), labels)


def training_seed(index: int) -> int:
    """The seed of training scene `index`, in 0 .. 2³¹-1."""
    return _checked("index", index, 0, HELD_OUT - 1)


def held_out_seed(index: int) -> int:
    """The seed of validation scene `index`, in 2³¹ .. 2³²-1: no training scene shares it."""
    return HELD_OUT + _checked("index", index, 0, HELD_OUT - 1)


def _checked(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        message = f"{name} must be an integer from {low} to {high}; got {value!r}"
        raise InputError(f"{message} ({type(value).__name__}). Pass an int.")
    if not low <= value <= high:
        raise InputError(f"{name} must be from {low} to {high}; got {value}. Choose one inside.")
    return int(value)
