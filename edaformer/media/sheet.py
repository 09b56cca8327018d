"""A sheet of titled pictures in rows and columns, for figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edaformer.media.frames import Pixels

_GAP = 6  # pixels
_LEAST_TEXT, _TEXT_OF_SIDE = 13, 1 / 28  # pixels; of a panel's shorter side


@dataclass(frozen=True)
class Panel:
    """A picture under its title."""

    title: str
    picture: Pixels


def sheet(rows: Sequence[Sequence[Panel]], text: int | None = None) -> Pixels:
    """uint8 RGB (H, W, 3) of panels that are all of one size, as many in each row.

    Args:
        rows: the panels.
        text: height of the titles; None: of the panels' own measure.
    """
    height, width = rows[0][0].picture.shape[:2]
    text = text or max(_LEAST_TEXT, round(min(height, width) * _TEXT_OF_SIDE))
    font, title = ImageFont.load_default(text), round(1.7 * text)
    step_x, step_y = width + _GAP, height + title + _GAP
    page = Image.new("RGB", (len(rows[0]) * step_x - _GAP, len(rows) * step_y - _GAP), "white")
    pen = ImageDraw.Draw(page)
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            x, y = column * step_x, row * step_y
            pen.text((x, y + title / 2), panel.title, fill=(20, 20, 20), font=font, anchor="lm")
            page.paste(Image.fromarray(panel.picture), (x, y + title))
    return np.asarray(page)
