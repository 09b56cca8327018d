"""What a label file holds, pixel by pixel: stored values, or colours.

Grey of 1, 2 or 4 bits holds the stored value, which Pillow scales to 0..255. The index of a palette
picture is a value only where that is sure; PNG optimisers give grey pictures palettes and change
the indices, all legally:

identity or grey palette      the grey value
all colours known             the colours, whatever their order
all files' palette the same   the index
else                          refused
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edaformer.border import border
from edaformer.errors import DataError
from edaformer.pictures import opened

Palette = tuple[tuple[int, int, int], ...]

_LOSSLESS = ("PNG", "BMP", "PPM", "GIF", "TIFF", "WEBP")
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_COLOUR = ("RGB", "RGBA")
_EXPAND = {"L;2": 85, "L;4": 17}  # Pillow's raw modes, and what it multiplies by


@dataclass(frozen=True)
class Pixels:
    """Of a label file; one of the two is there."""

    values: NDArray[np.int64] | None  # (H, W), as stored
    colours: NDArray[np.uint8] | None  # RGB (H, W, 3)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        array = self.colours if self.values is None else self.values
        assert array is not None
        return array.shape[0], array.shape[1]


def read_pixels(
    path: Path, shared: Palette | None = None, known: Collection[tuple[int, int, int]] = ()
) -> Pixels:
    """Read a label file.

    Args:
        path: the file.
        shared: the palette of all label files; None where they have none in common.
        known: the colours that are classes.

    Raises:
        DataError: if it cannot be read, was compressed with loss, or its palette says neither.
    """
    with _opened(path) as file:
        _refuse_lossy(path, file)
        packed = _raw_mode(file)  # decoding forgets it
        with _explained(path):
            file.load()
        if file.mode in {"P", "PA"}:
            return _of_palette(path, file, shared, known)
        return _of_mode(path, file, packed)


def shared_palette(paths: Iterable[Path]) -> Palette | None:
    """The palette that every file has, or the beginning of; only the files' heads are read.

    A file that cannot be read counts for nothing: reading it says why.
    """
    longest: Palette = ()
    for path in paths:
        try:
            with _opened(path) as file, _explained(path):
                own = _palette(file) if file.mode in {"P", "PA"} else None
        except DataError:
            continue
        if own is None:
            return None
        shorter, longer = sorted((own, longest), key=len)
        if longer[: len(shorter)] != shorter:
            return None
        longest = longer
    return longest or None


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with ExitStack() as files:
        with _explained(path):
            file = files.enter_context(opened(path))
        yield file


def _explained(path: Path) -> AbstractContextManager[None]:
    return border(
        lambda said: DataError(f"{path} cannot be read as a label image ({said}); replace it")
    )


def _of_palette(
    path: Path, file: Image.Image, shared: Palette | None, known: Collection[tuple[int, int, int]]
) -> Pixels:
    index = np.asarray(file if file.mode == "P" else file.getchannel("P"))
    palette = _palette(file)
    used = np.flatnonzero(np.bincount(index.ravel(), minlength=256))
    if used.size and used[-1] >= len(palette):
        raise DataError(
            f"{path} holds palette index {used[-1]} and its palette has {len(palette)} colours; "
            "write it again"
        )
    table = np.array(palette, np.uint8).reshape(-1, 3)
    grey = all(red == green == blue for red, green, blue in palette)
    identity = grey and all(at == colour[0] for at, colour in enumerate(palette))
    if not identity and known and all(palette[at] in known for at in used):
        return Pixels(None, table[index])
    nothing_else = all(palette[at] == (at, at, at) for at in used.tolist())
    if identity or nothing_else or (grey and _distinct(palette)):
        return Pixels(table[index, 0].astype(np.int64), None)
    if shared is not None and shared[: len(palette)] == palette:
        return Pixels(index.astype(np.int64), None)
    raise DataError(
        f"{path} has a palette of its own, so its indices are not sure to be classes; name the "
        "classes' colours with --labels FILE (a line each: name:red,green,blue), or write grey PNGs"
    )


def _of_mode(path: Path, file: Image.Image, packed: str) -> Pixels:
    if file.mode in _COLOUR:
        return Pixels(None, np.asarray(file.convert("RGB")))
    if file.mode not in _GREY:
        raise DataError(
            f"{path} has mode {file.mode}; expected labels as grey values, palette indices or RGB "
            "colours; write it again as PNG"
        )
    factor = _EXPAND.get(packed, 1)
    grey = file.getchannel("L") if file.mode == "LA" else file
    return Pixels(np.asarray(grey).astype(np.int64) // factor, None)


def _raw_mode(file: Image.Image) -> str:
    """How a sample is packed in the file."""
    tiles: list[tuple[str, object, int, object]] = getattr(file, "tile", [])
    arguments = tiles[0][3] if tiles else None
    if isinstance(arguments, tuple):
        arguments = arguments[0] if arguments else None
    return arguments if isinstance(arguments, str) else ""


def _refuse_lossy(path: Path, file: Image.Image) -> None:
    lossy = file.format not in _LOSSLESS
    if file.format == "WEBP":
        lossy = _lossy_webp(path)
    if file.format == "TIFF":
        lossy = "jpeg" in str(file.info.get("compression", "")) or (
            file.info.get("compression") == "webp"
        )
    if lossy:
        raise DataError(
            f"{path} is a {file.format} picture, whatever its name: lossy compression changes "
            "labels into others; export the labels as PNG"
        )


def _lossy_webp(path: Path) -> bool:
    """Whether the file has a chunk of lossy pixels: ``VP8 `` and not ``VP8L``."""
    data = path.read_bytes()
    at = 12  # after RIFF, the size and WEBP
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind in {b"VP8 ", b"VP8L"}:
            return kind == b"VP8 "
        at += 8 + size + size % 2
    return True


def _palette(file: Image.Image) -> Palette:
    """Its colours as stored, before anything is padded."""
    head = file.palette
    if head is not None and head.mode == "RGB" and head.rawmode in {None, "RGB"}:
        flat = list(head.palette)  # PNG's and GIF's, which getpalette would decode the pixels for
    else:
        flat = file.getpalette("RGB") or []
    return tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def _distinct(palette: Palette) -> bool:
    """Without the black that fills a palette up."""
    while len(palette) > 1 and palette[-1] == palette[-2] == (0, 0, 0):
        palette = palette[:-1]
    if len(palette) > 1 and palette[-1] == (0, 0, 0) in palette[:-1]:
        palette = palette[:-1]
    return len(set(palette)) == len(palette)
