"""A frame and its labels as people look at them: blended, side by side, in palette colours."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edaformer.media.frames import Frame, Pixels
from edaformer.media.legend import Legend
from edaformer.media.palette import Colour

Labels = NDArray[np.uint8]  # (H, W)
_GAP = 4  # pixels between panels
_LINE = 1 / 500  # width of an outline, of the picture's shorter side
_DARK = 110  # grey level below which an outline is light
_CONTRAST = 0.65  # of an outline, towards white or black
_SEEN = 2.5  # pixels that a difference has where it is looked at


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
        """The class colours over the picture, each class outlined, and the legend."""
        colours = self.style.paletted(self.labels).convert("RGB")
        picture = Image.fromarray(self.frame.pixels)
        blended = Image.blend(picture, colours, self.style.weight)
        if self.style.weight:
            blended = _outlined(blended, self.labels)
        return self._with_legend(blended)

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


def grown(mask: NDArray[np.bool_], shown: int) -> tuple[NDArray[np.bool_], int]:
    """Each set pixel as a square, so that a single one is seen ``shown`` pixels wide; its width."""
    width = 2 * max(1, round(mask.shape[1] / shown * _SEEN / 2)) + 1
    wide = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(width))
    return np.asarray(wide).astype(bool), width


def _outlined(picture: Image.Image, labels: Labels) -> Image.Image:
    """A line where classes meet: light where it is dark, dark where it is light."""
    pixels = np.array(picture)
    at = _borders(labels)
    own = pixels[at].astype(np.float32)
    towards = np.where(own.mean(axis=1, keepdims=True) < _DARK, 255.0, 0.0)
    pixels[at] = (own + _CONTRAST * (towards - own)).astype(np.uint8)
    return Image.fromarray(pixels)


def _borders(labels: Labels) -> NDArray[np.bool_]:
    """Pixels whose label is not that of the one to the right or below, as wide as a line is."""
    width = max(1, round(min(labels.shape) * _LINE))
    made = np.zeros(labels.shape, np.bool_)
    for step in range(1, width + 1):
        made[:, :-step] |= labels[:, step:] != labels[:, :-step]
        made[:-step] |= labels[step:] != labels[:-step]
    return made


def png(picture: Image.Image) -> bytes:
    """As the bytes of a PNG file."""
    file = io.BytesIO()
    # Level 1 takes a sixth of the time of Pillow's 6, and makes photographs 16 % larger
    picture.save(file, "PNG", compress_level=1 if picture.mode == "RGB" else 6)
    return file.getvalue()
