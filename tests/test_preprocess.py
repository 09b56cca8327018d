from __future__ import annotations

import numpy as np
import pytest

from edaformer.errors import InputError
from edaformer.preprocess import MEAN, STD, aligned, format_size, normalise, parse_size


def test_normalise_by_hand() -> None:
    image = np.array([[[[0, 128, 255]]]], np.uint8)
    expected = [(value - m) / s for value, m, s in zip((0, 128, 255), MEAN, STD, strict=True)]
    made = normalise(image)
    assert (made.shape, made.dtype) == ((1, 3, 1, 1), np.float32)
    assert made.ravel() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "align", "expected"),
    [((360, 480), 32, (384, 480)), ((360, 480), None, (360, 480)), ((1, 33), 32, (32, 64))],
)
def test_aligned(size: tuple[int, int], align: int | None, expected: tuple[int, int]) -> None:
    assert aligned(size, align) == expected


def test_sizes_read_back() -> None:
    assert parse_size("360x480") == (360, 480)
    assert format_size((360, 480)) == "360x480"


@pytest.mark.parametrize(
    "text",
    ["0x0", "-1", "-1x5", "512", "512x", "axb", "100000x100000", "8193x8", "9" * 5000 + "x1"],
)
def test_refuses_sizes(text: str) -> None:
    with pytest.raises(InputError, match="expected"):
        parse_size(text)
