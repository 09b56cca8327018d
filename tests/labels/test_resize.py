"""Every rule makes the pixels of the library that it is named after."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from edaformer.labels.geometry import Size, bilinear
from edaformer.labels.resize import RULES, opencv_bilinear, pillow_bilinear, resize_picture, tables
from edaformer.labels.resize import Image as Pixels
from edaformer.preprocess import RESIZES, Resize

SIZES = [
    ((1, 1), (1, 1)), ((1, 1), (5, 7)), ((9, 1), (4, 6)), ((480, 640), (512, 512)),
    ((360, 480), (180, 240)), ((360, 480), (720, 960)), ((720, 1280), (360, 480)),
    ((333, 517), (100, 900)), ((97, 61), (512, 512)), ((1280, 720), (512, 512)),
    ((800, 1000), (3, 2)), ((1, 4000), (1, 7)),
]  # fmt: skip


def by_opencv(image: Pixels, size: Size) -> Pixels:
    made: Pixels = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return made


def by_pillow(image: Pixels, size: Size) -> Pixels:
    """Rows, then columns: Pillow to 12 has it so in one call, and 13 where it does not shrink the
    height far more than the width."""
    picture = Image.fromarray(image)
    picture = picture.resize((size[1], image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


LIBRARIES: dict[Resize, Callable[[Pixels, Size], Pixels]] = {
    "opencv-bilinear": by_opencv, "pillow-bilinear": by_pillow,
}  # fmt: skip


@pytest.mark.parametrize(("source", "size"), SIZES)
@pytest.mark.parametrize("levels", [256, 2])
@pytest.mark.parametrize("rule", RESIZES)
def test_to_the_byte(source: Size, size: Size, levels: int, rule: Resize) -> None:
    image = np.random.default_rng(3).integers(0, levels, (*source, 3), dtype=np.uint8)
    image *= 255 // (levels - 1)
    made = resize_picture(image, size, rule)
    np.testing.assert_array_equal(made, LIBRARIES[rule](image, size))


@pytest.mark.parametrize("rule", RESIZES)
def test_to_the_byte_at_random_sizes(rule: Resize) -> None:
    draw = np.random.default_rng(11)
    for _ in range(100):
        height, width, rows, columns = (int(side) for side in draw.integers(1, 300, 4))
        image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        made = resize_picture(image, (rows, columns), rule)
        np.testing.assert_array_equal(made, LIBRARIES[rule](image, (rows, columns)))


def test_pillow_in_one_call() -> None:
    """The same bytes; a tall picture that shrinks, which 13 begins with columns, to one level."""
    draw, others = np.random.default_rng(12), 0
    for _ in range(100):
        height, width, rows, columns = (int(side) for side in draw.integers(1, 300, 4))
        image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
        apart = np.abs(pillow_bilinear(image, (rows, columns)) - np.asarray(picture, np.int16))
        may = rows < height and height - rows > 2 * (width - columns)
        assert apart.max() <= int(may)
        others += not may
    assert others > 50


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_torch_antialiases_to_the_same_level_or_the_next(source: Size, size: Size) -> None:
    """What torchvision calls, and transformers' default processor through it."""
    image = np.random.default_rng(4).integers(0, 256, (*source, 3), dtype=np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = functional.interpolate(planes, size, mode="bilinear", antialias=True)
    made = torch.from_numpy(pillow_bilinear(image, size)).permute(2, 0, 1)[None]
    assert (made.int() - expected.int()).abs().max() <= 1


def test_rules_differ_where_a_picture_shrinks() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[::4] = 255  # a row of four, and not one of those that lie beside a centre
    assert pillow_bilinear(image, (2, 8)).min() > 40
    assert opencv_bilinear(image, (2, 8)).max() == 0


@pytest.mark.parametrize("rule", RESIZES)
def test_a_picture_of_the_size_is_itself(rule: Resize) -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    assert resize_picture(image, (4, 5), rule) is image


@pytest.mark.parametrize("rule", RESIZES)
def test_tables_keep_what_is_even(rule: Resize) -> None:
    """Weights sum up to one, to the last bit or nearly; a side that does not change is copied."""
    assert set(RULES) == set(RESIZES)
    rows, columns = tables(rule, (300, 40), (7, 40))
    one = int(columns[1:].sum(axis=0).max())
    assert (columns[1:].sum(axis=0) == one).all()
    assert (columns[1] == one).all()
    assert (columns[0] == np.arange(40)).all()
    assert np.abs(rows[1:].sum(axis=0) - one).max() <= len(rows) / 2


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_planes_are_opencvs_to_float_rounding(source: Size, size: Size) -> None:
    plane = np.random.default_rng(5).standard_normal(source).astype(np.float32)
    expected = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(size)
    np.testing.assert_allclose(bilinear(plane, size), expected, atol=1e-3)
