"""The border where pictures come in as arrays: one check for every Python entry.

Floats in 0..1 are the usual mistake, and the network answers them without a word: nearly black
pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.errors import InputError


def check_pictures(image: Any, *, batch: bool) -> NDArray[np.uint8]:
    """The picture as it came: uint8 (H, W, 3), with ``batch`` (N, H, W, 3) too.

    Strides, order and whether it can be written to are of no consequence.

    Raises:
        InputError: saying what came, and the line that mends it.
    """
    wanted = "an image (H, W, 3)" + (" or a batch (N, H, W, 3)" if batch else "")
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"expected {wanted} as a NumPy array, got {type(image).__name__}; "
            "numpy.asarray(image) makes one of a Pillow image"
        )
    shape = image.shape
    if image.ndim not in ({3, 4} if batch else {3}) or shape[-1] != 3 or 0 in shape:
        raise InputError(f"expected {wanted}, got shape {shape}; {_mend_shape(image)}")
    if image.dtype != np.uint8:
        raise InputError(f"expected a uint8 image, got {image.dtype}; {_mend_type(image)}")
    return image


def _mend_shape(image: NDArray[Any]) -> str:
    if image.ndim == 2:
        return "numpy.repeat(image[..., None], 3, axis=2) makes one of a grey picture"
    if image.ndim >= 3 and image.shape[-1] == 4:
        return "image[..., :3] leaves the alpha channel out"
    if image.ndim >= 3 and image.shape[-3] == 3:
        return "numpy.moveaxis(image, -3, -1) puts the channels last"
    if image.ndim == 4 and image.shape[0] == 1:
        return "image[0] is the one of a batch"
    return "RGB, channels last"


def _mend_type(image: NDArray[Any]) -> str:
    if image.dtype.kind == "f" and np.nanmax(image) <= 1:
        return "(255 * image).round().astype(numpy.uint8) makes one of values from 0 to 1"
    if image.dtype == np.uint16:
        return "(image // 257).astype(numpy.uint8) makes one of 16 bits"
    return "image.round().clip(0, 255).astype(numpy.uint8) makes one of values from 0 to 255"
