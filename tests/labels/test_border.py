"""What is no picture is refused in words that mend it; how it lies in memory is not asked."""

from __future__ import annotations

import numpy as np
import pytest

from edaformer.errors import InputError
from edaformer.labels.border import check_pictures

IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "mend"),
    [
        (IMAGE / 255, r"\(255 \* image\)"),
        (IMAGE.astype(np.float32) + 200, "clip"),
        (IMAGE.astype(np.uint16), "257"),
        (IMAGE[..., 0], "grey picture"),
        (np.zeros((4, 6, 4), np.uint8), "alpha"),
        (np.zeros((3, 4, 6), np.uint8), "moveaxis"),
        (IMAGE[None], r"image\[0\]"),
        (IMAGE[:0], "got shape"),
        ([[1]], "got list"),
    ],
)
def test_what_came_and_the_line_that_mends_it(image: object, mend: str) -> None:
    with pytest.raises(InputError, match=mend):
        check_pictures(image, batch=False)


def test_strides_order_and_read_only_are_fine() -> None:
    locked = IMAGE.copy()
    locked.flags.writeable = False
    for image in (IMAGE[::-1, ::2, ::-1], np.asfortranarray(IMAGE), locked):
        assert check_pictures(image, batch=False) is image
    assert check_pictures(IMAGE[None], batch=True).shape == (1, 4, 6, 3)
