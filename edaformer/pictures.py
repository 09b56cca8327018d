"""Picture files as RGB of 8 bits, upright: one reader for all commands.

What Pillow knows, minus formats that start other programs, plus HEIC and JPEG XL where pillow-heif
and pillow-jxl-plugin are installed.

- EXIF's orientation is applied, as OpenCV's imread does and mmsegmentation with it. It alone is
  read: damage elsewhere in EXIF is nobody's business here.
- Transparency is dropped and the stored colours count, as in the training of every checkpoint
  (OpenCV's imread does the same).
- 16-bit grey v becomes round(v / 257), so that 0 and 65535 become 0 and 255. 16-bit colour comes
  from Pillow as its high bytes, which is at most one off.
- CMYK, palettes and grey become RGB by Pillow's formulas; colour profiles are not applied.
- 32-bit and floating-point values have no known range and are refused; so are camera raws, of which
  Pillow would give the preview.
- GIF, APNG and WebP animations and TIFFs of several pages give every frame.
"""

from __future__ import annotations

import functools
import importlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edaformer.border import words
from edaformer.errors import FrameError

Pixels = NDArray[np.uint8]  # RGB (H, W, 3)

PICTURE_SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".mpo", ".bmp", ".dib", ".gif",
    ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".jpf",
    ".avif", ".avifs", ".heic", ".heif", ".heics", ".heifs", ".hif", ".jxl", ".tga", ".qoi",
})  # fmt: skip
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf",
    ".srw", ".x3f",
})  # fmt: skip
MAY_BE_MANY = frozenset({".gif", ".apng", ".webp", ".tif", ".tiff", ".avif", ".avifs"})

# Not EPS, which Ghostscript would run; the rest of Pillow's are no photographs
_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF",
            "TGA", "QOI", "HEIF", "JXL")  # fmt: skip
_SENT = ("PNG", "JPEG", "MPO")  # what a client may send; a phone's JPEG may be an MPO
_MANY = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")  # whose further frames are no previews, as MPO's
_ORIENTATION = 0x0112  # EXIF's tag
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}
_filters = threading.Lock()  # Python's list of warning filters is one for all threads


@dataclass(frozen=True)
class Picture:
    """One picture of a file."""

    pixels: Pixels  # upright
    orientation: int  # EXIF's 1 to 8, which the pixels were turned by; 1: stored upright
    index: int | None = None  # among those of its file; None: it is the only one
    seconds: float | None = None  # how long an animation shows it


def read_picture(path: Path) -> Picture:
    """The first, mostly only, picture of a file.

    Raises:
        FrameError: if it is no picture, is damaged, or is too large to be one.
    """
    return next(read_pictures(path))


def decode_picture(data: bytes) -> Picture:
    """The picture in the bytes of a JPEG or PNG file, as a client sends it; upright.

    Raises:
        FrameError: if they are neither, are damaged, or have too many pixels to be a picture.
    """
    with _explained(lambda: "it is neither JPEG nor PNG; send the bytes of such a file"):
        with _silent():
            known = [name for name in _SENT if name in _known_formats()]
            image = Image.open(io.BytesIO(data), formats=known)
        with image:
            return _picture(image, None)


def read_pictures(path: Path) -> Iterator[Picture]:
    """Every picture of a file; of all but animations and TIFF there is one.

    Raises:
        FrameError: if it is no picture, is damaged, or is too large to be one.
    """
    _refuse_what_is_no_picture(path)
    with _explained(lambda: _what_else(path)), opened(path) as image:
        count = int(getattr(image, "n_frames", 1)) if image.format in _MANY else 1
        for index in range(count):
            yield _picture(image, index if count > 1 else None)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A file's picture as Pillow has it, not decoded yet: none of a format that starts programs.

    Pillow raises what it likes; who asks says what that means.
    """
    with _silent():
        image = Image.open(path, formats=_known_formats())
    with image:
        yield image


def turn_upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W, ...) as EXIF's orientation says."""
    turn = _TURNS.get(orientation)
    return stored if turn is None else np.ascontiguousarray(turn(stored))


def to_rgb(image: Image.Image) -> Pixels:
    """uint8 RGB (H, W, 3), as stored.

    Raises:
        FrameError: if the values' range is not known.
    """
    # Pillow has 16 bits of PNG (before its version 11) and of PGM in mode I
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        grey = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in {"I", "F"}:
        raise FrameError("its values have 32 bits and no known range; save it with 8 or 16 bits")
    image.info.pop("transparency", None)  # dropped, and convert would warn of some
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _picture(image: Image.Image, index: int | None) -> Picture:
    """One picture of the file."""
    with _silent():
        image.seek(index or 0)
        said = _orientation(image)
    image.load()  # Pillow turns TIFF by itself, and then no longer says so
    with _silent():
        left = _orientation(image)
    shown = image.info.get("duration")  # milliseconds
    seconds = shown / 1000 if isinstance(shown, (int, float)) and shown > 0 else None
    pixels = turn_upright(to_rgb(image), left)
    return Picture(pixels, said, index, seconds if index is not None else None)


def _orientation(image: Image.Image) -> int:
    """EXIF's; 1 where it has none that can be read."""
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1  # JPEG XL turns by its own header, and its EXIF does not count
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001  # whatever damaged metadata makes a parser raise
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _refuse_what_is_no_picture(path: Path) -> None:
    """Folders, devices and pipes, which would block or be read for ever; camera raws."""
    if path.is_dir():
        raise FrameError("it is a folder, not a picture")
    if path.exists() and not path.is_file():
        raise FrameError("it is no regular file")
    if path.suffix.lower() in RAW_SUFFIXES:
        raise FrameError(
            "it is a camera raw, which has no colours before it is developed; develop it first, to "
            "PNG or JPEG"
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Without Pillow's warnings, of large pictures and damaged metadata; for short pieces."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _explained(what_else: Callable[[], str]) -> Iterator[None]:
    """Whatever Pillow and its plugins raise over a file, as one sentence."""
    try:
        yield
    except FrameError:
        raise
    except UnidentifiedImageError as error:
        raise FrameError(what_else()) from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise FrameError(f"it has more than {most / 1e6:.0f} million pixels; scale it down") from (
            error
        )
    except Exception as error:
        raise FrameError(f"it cannot be read ({words(error)})") from error


def _what_else(path: Path) -> str:
    """What a file is that Pillow does not know, and the way on."""
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp" and head[8:12] in {b"heic", b"heix", b"heim", b"heis", b"mif1",
                                               b"msf1", b"hevc", b"hevx"}:  # fmt: skip
        return "it is HEIC, which needs another package; run: pip install pillow-heif"
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        return "it is AVIF, which this Pillow was built without; run: pip install -U pillow"
    if head[:2] == b"\xff\x0a" or head[4:8] == b"JXL ":
        return "it is JPEG XL, which needs another package; run: pip install pillow-jxl-plugin"
    return "it is no picture that Pillow knows; name a video as such (.mp4, .avi, .mkv, ...)"


@functools.cache
def _known_formats() -> tuple[str, ...]:
    """Those that this Pillow, and its plugins here, can read."""
    Image.init()
    with suppress(ImportError, OSError, AttributeError):
        importlib.import_module("pillow_heif").register_heif_opener()
    with suppress(ImportError, OSError):
        importlib.import_module("pillow_jxl")
    return tuple(name for name in _FORMATS if name in Image.OPEN)
