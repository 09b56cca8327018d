"""What a camera adds to the scene: softness, vignetting, exposure and sensor noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edaformer.data.streets.dice import Dice, hashed_bytes
from edaformer.data.streets.optics import DARKEST, Pixels, averaged

_BANK = 1 << 17  # noise bytes kept; frames read it from random places


@dataclass(frozen=True)
class Lens:
    """How one picture is taken."""

    blur: int  # passes of a three-pixel binomial filter, each way
    smear: int  # passes of a sideways two-pixel mean: motion
    vignette: int  # darkening of the corners, 1/256
    gain: int  # exposure, 256 is neutral
    noise: int  # 0 (none) to 3


def random_lens(dice: Dice, *, dark: bool) -> Lens:
    """A lens and exposure; the dark makes sensors noisy."""
    noise = dice.pick((1, 2, 3)) if dark else dice.pick((0, 1, 1, 2))
    return Lens(
        blur=dice.pick((0, 1, 1, 1, 2)),
        smear=dice.pick((0, 0, 0, 0, 1, 2)),
        vignette=dice.between(0, 80),
        gain=dice.between(232, 256),
        noise=noise,
    )


def expose(pixels: Pixels, lens: Lens, dice: Dice) -> NDArray[np.uint8]:
    """The RGB picture of a finished canvas."""
    for _ in range(lens.blur):
        pixels = _softened(pixels)
    for _ in range(lens.smear):
        pixels[:, 1:] = averaged(pixels[:, 1:], pixels[:, :-1])
    height, width = pixels.shape
    shaded = _shaded(pixels.view(np.uint8).reshape(height, width * 4), lens)
    if lens.noise:
        _add_noise(shaded.reshape(-1), lens.noise, dice)
    image = np.empty((height, width, 3), np.uint8)
    for channel in range(3):  # three strided copies are faster than one of short rows
        image[:, :, channel] = shaded[:, channel::4]
    return image


def _softened(pixels: Pixels) -> Pixels:
    """[1 2 1] / 4 along columns, then rows; the border keeps what it has."""
    soft: Pixels = pixels.copy()
    soft[1:-1] = averaged(pixels[1:-1], averaged(pixels[:-2], pixels[2:]))
    around = averaged(soft[:, :-2], soft[:, 2:])
    soft[:, 1:-1] = averaged(soft[:, 1:-1], around)
    return soft


def _shaded(flat: NDArray[np.uint8], lens: Lens) -> NDArray[np.uint8]:
    """Exposure, less towards the corners by the square of the distance from the middle."""
    height, width = flat.shape[0], flat.shape[1] // 4
    x, y = np.arange(width, dtype=np.int64), np.arange(height, dtype=np.int64)
    span = width * width + height * height
    across = lens.vignette * (2 * x - width) ** 2 // span
    down = lens.vignette * (2 * y - height) ** 2 // span
    gain = (lens.gain - np.repeat(across, 4)).astype(np.uint16)
    factor: NDArray[np.uint16] = gain[None, :] - down.astype(np.uint16)[:, None]
    factor *= flat
    factor >>= np.uint16(8)
    shaded = factor.astype(np.uint8)
    np.maximum(shaded, np.uint8(DARKEST), out=shaded)
    return shaded


@lru_cache(maxsize=3)
def _noise_bank(strength: int) -> NDArray[np.uint8]:
    """Roughly normal noise around 0 as wrapped bytes: the sum of four uniform ones, scaled down."""
    total = np.zeros(_BANK, np.int32)
    for part in range(4):
        total += hashed_bytes(900 + part, _BANK).astype(np.int32) - 128
    # A standard deviation of 148 before scaling: 1.7, 3.1 and 4.6 grey levels after.
    scaled: NDArray[np.int32] = np.clip(total * (3, 5, 8)[strength - 1] >> 8, -13, 13)
    return scaled.astype(np.int8).view(np.uint8)


def _add_noise(flat: NDArray[np.uint8], strength: int, dice: Dice) -> None:
    """Add the noise in place; the range kept free by the canvas makes wrapping impossible."""
    bank = _noise_bank(strength)
    chunk = _BANK // 2
    for start in range(0, flat.size, chunk):
        stretch = flat[start : start + chunk]
        offset = dice.below(_BANK - chunk)
        stretch += bank[offset : offset + stretch.size]
