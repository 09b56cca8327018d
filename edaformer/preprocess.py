"""How an image becomes the network's input: one definition for PyTorch, ONNX and engines.

RGB, mean and standard deviation on the 0..255 scale; a checkpoint that names none was trained with
those of the published release. Aligned inputs are padded on the right and at the bottom with zeros
*after* normalisation; the logits are resized to the padded size and cropped to the valid one.
Frames of another size are resized before, by the rule of the checkpoint's own processor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edaformer.errors import InputError

MEAN = (123.675, 116.28, 103.53)  # RGB, ImageNet, 0..255
STD = (58.395, 57.12, 57.375)
ALIGN = 32  # the encoder's total stride
LOGITS_STRIDE = 8
DEFAULT_SIZE = (512, 512)  # of an export, where neither the user nor the checkpoint says one
Resize = Literal["opencv-bilinear", "pillow-bilinear"]  # named after what each equals to the byte
RESIZES: tuple[Resize, ...] = get_args(Resize)
MAX_SIDE = 8192  # pixels; larger sides are refused before memory is touched


@dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std, RGB on the 0..255 scale."""

    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    @property
    def fill(self) -> tuple[int, int, int]:
        """The mean colour in bytes: as near to zero after normalisation as a pixel can be."""
        red, green, blue = (min(max(int(value + 0.5), 0), 255) for value in self.mean)
        return red, green, blue


RELEASE = Normalisation()


def known_resize(name: str, otherwise: str) -> Resize:
    """The rule of this name; ``otherwise`` says what to do where there is none.

    Raises:
        InputError: if there is none.
    """
    if name not in RESIZES:
        raise InputError(
            f"expected frames resized by {' or '.join(RESIZES)}, and the checkpoint's own "
            f"processor resizes by {name}; {otherwise}"
        )
    return name


def normalise(images: NDArray[np.uint8], how: Normalisation = RELEASE) -> NDArray[np.float32]:
    """uint8 RGB (N, H, W, 3) -> normalised float32 (N, 3, H, W)."""
    mean, std = np.asarray(how.mean, np.float32), np.asarray(how.std, np.float32)
    scaled = (images.astype(np.float32) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


def network_input(
    images: NDArray[np.uint8],
    name: str,
    how: Normalisation,
    size: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """uint8 RGB (N, h, w, 3) as the input called ``name`` takes it at ``size`` (H, W).

    ``image`` is uint8 (N, H, W, 3) and filled right and bottom with the mean colour; ``planar`` is
    float32 (N, 3, H, W) of the same values, filled with the mean; ``tensor`` is normalised and
    filled with zeros. None takes the images' own size.
    """
    count, height, width, _ = images.shape
    size = size or (height, width)
    if name == "image":
        return _filled(images, size, how.fill)
    made = np.zeros((count, 3, *size), np.float32)
    if name == "planar":
        made += np.asarray(how.mean, np.float32)[:, None, None]
    own = images.transpose(0, 3, 1, 2) if name == "planar" else normalise(images, how)
    made[:, :, :height, :width] = own
    return made


def _filled(
    images: NDArray[np.uint8], size: tuple[int, int], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    count, height, width, _ = images.shape
    if (height, width) == size:
        return images
    made = np.empty((count, *size, 3), np.uint8)
    made[:] = colour
    made[:, :height, :width] = images
    return made


def aligned(size: tuple[int, int], align: int | None) -> tuple[int, int]:
    """``size`` (H, W) rounded up to multiples of ``align``; None leaves it as it is."""
    if align is None:
        return size
    height, width = size
    return -(-height // align) * align, -(-width // align) * align


def parse_size(text: str) -> tuple[int, int]:
    """Read ``HxW`` in pixels.

    Raises:
        InputError: if it is not two numbers between 1 and MAX_SIDE.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})x([0-9]{1,9})\s*", text)
    if match is None:
        raise InputError(f"expected a size as HEIGHTxWIDTH, such as 512x512, got '{text}'")
    height, width = int(match[1]), int(match[2])
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(
            f"expected sides of 1 to {MAX_SIDE} pixels, got {height}x{width}; use e.g. 512x512"
        )
    return height, width


def parse_align(text: str) -> int | None:
    """Read what sides are padded to multiples of; ``none`` is None.

    Raises:
        InputError: if it is neither ``none`` nor a number from 1 to MAX_SIDE.
    """
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:7]) <= MAX_SIDE):
        raise InputError(f"expected --align as 'none' or 1 to {MAX_SIDE}, got '{text}'")
    return int(text)


def format_size(size: tuple[int, int]) -> str:
    """``HxW``, the form parse_size reads."""
    return f"{size[0]}x{size[1]}"
