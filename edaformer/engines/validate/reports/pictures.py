"""Pictures of an image and its labels, as data that an HTML page holds inline."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edaformer.engines.validate.validation import Shown
from edaformer.media.drawing import grown
from edaformer.media.palette import Colour

VOID: Colour = (0, 0, 0)
DIFFERENT: Colour = (255, 40, 40)
_WIDEST = 640  # pixels of a panel; a page of six Cityscapes images stays below 10 MB
_THUMBNAIL = 200  # pixels of a panel on the page
_QUALITY = 85  # of JPEG


def panels(shown: Shown, colours: tuple[Colour, ...]) -> tuple[tuple[str, str], ...]:
    """Image, truth, PyTorch, artifact and difference: captions and data URIs."""
    marked, width = grown(shown.reference != shown.candidate, _THUMBNAIL)
    differs = np.where(marked[:, :, None], np.array(DIFFERENT, np.uint8), shown.image // 2)
    return (
        ("image", _photograph(shown.image)),
        ("truth", _map(shown.truth, colours)),
        ("PyTorch", _map(shown.reference, colours)),
        ("artifact", _map(shown.candidate, colours)),
        (
            f"difference, {1 - shown.agreement:.3%}, a pixel drawn {width} wide",
            _photograph(differs),
        ),
    )


def hexadecimal(colour: Colour) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _photograph(pixels: NDArray[np.uint8]) -> str:
    """RGB (H, W, 3) as JPEG, whose red dots keep their colour."""
    picture = _reduced(Image.fromarray(pixels), Image.Resampling.LANCZOS)
    return _uri(picture, "JPEG", quality=_QUALITY, subsampling=0)


def _map(labels: NDArray[np.uint8], colours: tuple[Colour, ...]) -> str:
    """(H, W) labels as a palette PNG; what is no class is black."""
    picture = Image.fromarray(labels).convert("P")
    table = np.full((256, 3), VOID, np.uint8)
    table[: len(colours)] = colours
    picture.putpalette(table.tobytes())
    return _uri(_reduced(picture, Image.Resampling.NEAREST), "PNG", optimize=True)


def _reduced(picture: Image.Image, filtered: Image.Resampling) -> Image.Image:
    if picture.width <= _WIDEST:
        return picture
    height = max(round(picture.height * _WIDEST / picture.width), 1)
    return picture.resize((_WIDEST, height), filtered)


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{data}"
