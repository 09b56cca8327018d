"""Overlays, legends and label pictures, looked at pixel by pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edaformer.media.drawing import Drawing, Style, grown
from edaformer.media.frames import Frame
from edaformer.media.legend import Legend
from edaformer.media.palette import spread

RED, BLUE = (200, 0, 0), (0, 0, 100)


def drawing(weight: float = 0.5, size: tuple[int, int] = (120, 160)) -> Drawing:
    """Grey 100 everywhere; the left half is class 1."""
    labels = np.zeros(size, np.uint8)
    labels[:, : size[1] // 2] = 1
    frame = Frame("x", "x", np.full((*size, 3), 100, np.uint8))
    return Drawing(frame, labels, Style(("sea", "rose"), (BLUE, RED), weight))


@pytest.mark.parametrize(
    ("weight", "left", "right"),
    [(0, (100, 100, 100), (100, 100, 100)), (0.5, (150, 50, 50), (50, 50, 100)), (1, RED, BLUE)],
)
def test_overlays_blend(weight: float, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    overlay = drawing(weight).overlay
    assert tuple(overlay[60, 20]) == left
    assert tuple(overlay[60, 140]) == right


@pytest.mark.parametrize(("ground", "line"), [(20, 255), (250, 0)])
def test_classes_are_outlined_against_what_is_below(ground: int, line: int) -> None:
    """Class colours as dark, or as bright, as the picture: the line where they meet stands out."""
    made = drawing()
    made.frame.pixels[:] = ground
    style = Style(made.style.classes, ((ground,) * 3, (ground,) * 3), 0.5)
    overlay = Drawing(made.frame, made.labels, style).overlay[:120, :160].astype(int)
    seen = np.argwhere(np.abs(overlay - ground).max(axis=2) > 0)
    assert set(seen[:, 1]) == {79}  # the last column of the left class, over the whole height
    assert len(seen) == 120
    assert abs(overlay[60, 79] - line).max() < 90


def test_outlines_are_wider_in_large_pictures() -> None:
    """So that they are left where it is shown small."""
    overlay = drawing(size=(1500, 1600)).overlay[:, :1600]
    assert [tuple(overlay[700, x]) for x in (796, 800)] == [(150, 50, 50), (50, 50, 100)]
    assert len({tuple(overlay[700, x]) for x in (797, 798, 799)}) == 1
    assert tuple(overlay[700, 798]) not in {(150, 50, 50), (50, 50, 100)}


@pytest.mark.parametrize(("shown", "width"), [(200, 7), (400, 5), (2000, 3)])
def test_a_difference_is_grown_to_what_a_thumbnail_keeps(shown: int, width: int) -> None:
    mask = np.zeros((360, 480), np.bool_)
    mask[100, 200] = mask[0, 0] = True
    made, got = grown(mask, shown)
    assert got == width
    half = width // 2
    assert made.sum() == width**2 + (half + 1) ** 2
    assert made[100 - half : 101 + half, 200 - half : 201 + half].all()


def test_side_by_side_has_picture_and_colours() -> None:
    made = drawing().side_by_side()
    assert tuple(made[60, 20]) == (100, 100, 100)
    assert tuple(made[60, 160 + 4 + 20]) == RED
    assert tuple(made[60, 160 + 4 + 140]) == BLUE


def test_label_pictures_hold_the_labels() -> None:
    made = drawing()
    with Image.open(io.BytesIO(made.palette_png())) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), made.labels)
        assert picture.convert("RGB").getpixel((0, 0)) == RED
    with Image.open(io.BytesIO(made.ids_png())) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), made.labels)


def test_areas_count_pixels() -> None:
    assert drawing().areas.tolist() == [120 * 80, 120 * 80]


def has(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((picture == colour).all(axis=-1).any())


def test_the_legend_hides_nothing_and_shows_what_is_there() -> None:
    made = drawing(0)
    legend = made.overlay[:, 160:]
    assert (made.overlay[:120, :160] == 100).all()
    assert has(legend, RED)
    assert has(legend, BLUE)
    made.labels[:] = 0
    again = Drawing(made.frame, made.labels, made.style)
    assert not has(again.overlay[:, 160:], RED)
    assert again.overlay.shape == made.overlay.shape  # a video's frames are of one size


def test_a_legend_of_many_classes_names_the_largest() -> None:
    names, colours = tuple(f"class {i}" for i in range(150)), spread(150)
    areas = np.arange(150)  # the last are the largest; class 0 is not there
    legend = Legend(names, colours, (240, 320)).beside(Image.new("RGB", (320, 240)), areas)
    strip = legend[:, 320:]
    assert legend.shape[0] == 240
    assert has(strip, colours[149])
    assert not has(strip, colours[1])


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (1, 500), (360, 480), (2000, 300)])
def test_legends_of_any_size_are_large_enough_to_read(size: tuple[int, int]) -> None:
    names = ("road", "a name so long that nobody would ever read it to its end", "skv, 空")
    legend = Legend(names, spread(3), size)
    made = legend.beside(Image.new("RGB", size[::-1]), np.array([5, 5, 5]))
    assert made.shape[0] >= max(size[0], 3 * 12)
    assert made.shape[1] - size[1] >= 100
    for colour in spread(3):
        assert has(made[:, size[1] :], colour)
