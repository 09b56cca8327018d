"""A legend beside a picture: the classes that are there, their colours and their shares.

It stands to the right and hides nothing. Its size follows from the picture's size and the class
names alone, so that every frame of a video has the same. Where the picture has no room for all
classes there, the largest are named and the others counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edaformer.media.frames import Pixels
from edaformer.media.palette import Colour

_LEAST_TEXT = 12  # pixels; smaller is not legible
_TEXT_OF_SIDE = 1 / 30  # text height, of the picture's shorter side
_LEAST_ROWS = 6  # classes that even the smallest picture has room for
_LONGEST = 22  # characters of a name
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True)
class Legend:
    """How legends are drawn beside pictures of one size."""

    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    size: tuple[int, int]  # (H, W) of the picture

    def beside(self, picture: Image.Image, areas: NDArray[np.int64]) -> Pixels:
        """The picture with its legend, uint8 RGB (H, W, 3).

        Args:
            picture: RGB of this height; as wide as the panels in it.
            areas: pixels of each class.
        """
        width = picture.width
        page = Image.new("RGB", (width + self._width, self._height), _PAPER)
        page.paste(picture, (0, 0))
        pen = ImageDraw.Draw(page)
        top = self._text // 2
        shown, left_out = self._chosen(areas)
        for label in shown:
            swatch = (width + self._text, top, width + 2 * self._text, top + self._text)
            pen.rectangle(swatch, fill=self.colours[label], outline=_FAINT)
            self._write(pen, (width, top), self.classes[label], _share(areas, label))
            top += self._step
        if left_out:
            self._write(pen, (width, top), f"{len(left_out)} more", _share(areas, left_out))
        return np.asarray(page)

    def _chosen(self, areas: NDArray[np.int64]) -> tuple[list[int], list[int]]:
        """The classes that get a row, in their order, and those that there is no row for."""
        there = [int(label) for label in np.flatnonzero(areas)]
        rows = (self._height - self._text // 2) // self._step
        if len(there) <= rows:
            return there, []
        largest = sorted(there, key=lambda label: -areas[label])
        return sorted(largest[: rows - 1]), largest[rows - 1 :]

    def _write(
        self, pen: ImageDraw.ImageDraw, corner: tuple[int, int], name: str, share: str
    ) -> None:
        """A row's text; ``corner`` is its top left, where the legend begins."""
        left, middle = corner[0], corner[1] + self._text / 2
        right = left + self._width - self._text // 2
        pen.text((left + 2.5 * self._text, middle), _short(name), _INK, self._font, anchor="lm")
        pen.text((right, middle), share, _FAINT, self._font, anchor="rm")

    @cached_property
    def _text(self) -> int:
        return max(_LEAST_TEXT, round(min(self.size) * _TEXT_OF_SIDE))

    @cached_property
    def _step(self) -> int:
        return round(1.6 * self._text)

    @cached_property
    def _font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(self._text)

    @cached_property
    def _width(self) -> int:
        longest = max(self._font.getlength(_short(name)) for name in (*self.classes, "150 more"))
        return round(longest + self._font.getlength("  100.0 %") + 3.5 * self._text)

    @cached_property
    def _height(self) -> int:
        rows = min(len(self.classes), _LEAST_ROWS)
        return max(self.size[0], self._text // 2 + rows * self._step)


def _share(areas: NDArray[np.int64], labels: int | list[int]) -> str:
    percent = 100 * int(areas[labels].sum()) / max(int(areas.sum()), 1)
    return f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 2].rstrip()}.."
