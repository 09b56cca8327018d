"""A frame and its labels as people look at them: blended, side by side, in palette colours."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edaformer.media.frames import Frame, Pixels
from edaformer.media.legend import Legend
from edaformer.media.palette import Colour

Labels = NDArray[np.uint8]  # (H, W)
_GAP = 4  # pixels between panels


@dataclass
class Style:
    """What all pictures of a run have in common."""

    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    weight: float  # of the class colours in an overlay, 0 to 1
    _legend: Legend | None = field(default=None, init=False)  # of the size drawn last

    def legend(self, size: tuple[int, int]) -> Legend:
        """The legend beside pictures of ``size`` (H, W)."""
        if self._legend is None or self._legend.size != size:
            self._legend = Legend(self.classes, self.colours, size)
        return self._legend

    def paletted(self, labels: Labels) -> Image.Image:
        """The labels as a picture with a palette; what is no class is black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self.colours)] = self.colours
        picture = Image.fromarray(labels)
        picture.putpalette(table.tobytes())
        return picture


@dataclass(frozen=True)
class Drawing:
    """A frame with its labels; what is asked for is drawn, once."""

    frame: Frame
    labels: Labels
    style: Style

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each class."""
        counts = Image.fromarray(self.labels).histogram()  # bincount makes int64 of every label
        return np.array(counts[: len(self.style.classes)])

    @cached_property
    def overlay(self) -> Pixels:
        """The class colours over the picture, and the legend."""
        colours = self.style.paletted(self.labels).convert("RGB")
        picture = Image.fromarray(self.frame.pixels)
        return self._with_legend(Image.blend(picture, colours, self.style.weight))

    def side_by_side(self) -> Pixels:
        """Picture, class colours and legend."""
        height, width = self.frame.size
        both = Image.new("RGB", (2 * width + _GAP, height), "white")
        both.paste(Image.fromarray(self.frame.pixels), (0, 0))
        both.paste(self.style.paletted(self.labels).convert("RGB"), (width + _GAP, 0))
        return self._with_legend(both)

    def palette_png(self) -> bytes:
        """The labels as a PNG with a palette: its values are the labels."""
        return png(self.style.paletted(self.labels))

    def ids_png(self) -> bytes:
        """The labels as a grey PNG: its values are the labels."""
        return png(Image.fromarray(self.labels))

    def _with_legend(self, picture: Image.Image) -> Pixels:
        return self.style.legend(self.frame.size).beside(picture, self.areas)


def png(picture: Image.Image) -> bytes:
    """As the bytes of a PNG file."""
    file = io.BytesIO()
    # Level 1 takes a sixth of the time of Pillow's 6, and makes photographs 16 % larger
    picture.save(file, "PNG", compress_level=1 if picture.mode == "RGB" else 6)
    return file.getvalue()
