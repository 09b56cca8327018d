"""Every rule makes the pixels of the library that it is named after."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edaformer.labels.geometry import bilinear
from edaformer.labels.resize import opencv_bilinear

SIZES = [
    ((1, 1), (1, 1)), ((1, 1), (5, 7)), ((9, 1), (4, 6)), ((480, 640), (512, 512)),
    ((360, 480), (180, 240)), ((360, 480), (720, 960)), ((720, 1280), (360, 480)),
    ((333, 517), (100, 900)), ((97, 61), (512, 512)),
]  # fmt: skip


@pytest.mark.parametrize(("source", "size"), SIZES)
@pytest.mark.parametrize("levels", [256, 2])
def test_opencv_to_the_byte(source: tuple[int, int], size: tuple[int, int], levels: int) -> None:
    image = np.random.default_rng(3).integers(0, levels, (*source, 3), dtype=np.uint8)
    image *= 255 // (levels - 1)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(opencv_bilinear(image, size), expected)


def test_opencv_to_the_byte_at_random_sizes() -> None:
    draw = np.random.default_rng(11)
    for _ in range(100):
        height, width, rows, columns = (int(side) for side in draw.integers(1, 300, 4))
        image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(opencv_bilinear(image, (rows, columns)), expected)


def test_a_picture_of_the_size_is_itself() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    assert opencv_bilinear(image, (4, 5)) is image


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_planes_are_opencvs_to_float_rounding(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    plane = np.random.default_rng(5).standard_normal(source).astype(np.float32)
    expected = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(size)
    np.testing.assert_allclose(bilinear(plane, size), expected, atol=1e-3)
