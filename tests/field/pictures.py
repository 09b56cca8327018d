"""Pictures as cameras, phones and other programs write them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
TALL, WIDE = 24, 32


def card() -> Pixels:
    """Four quarters that tell every turn and mirror: red, green, blue, grey."""
    made = np.zeros((TALL, WIDE, 3), np.uint8)
    for index, colour in enumerate([(200, 10, 10), (10, 200, 10), (10, 10, 200), (90, 90, 90)]):
        y, x = index // 2 * TALL // 2, index % 2 * WIDE // 2
        made[y : y + TALL // 2, x : x + WIDE // 2] = colour
    return made


def jpeg_with_exif(path: Path, entries: bytes, count: int) -> None:
    """The card as a JPEG whose EXIF is these entries of a little-endian directory."""
    tiff = b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    Image.fromarray(card()).save(path, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + tiff)


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")


ORIENTATION_6 = entry(0x0112, 3, 1, struct.pack("<H", 6))


def rational_for_text(path: Path) -> None:
    """DateTime, a text, as a rational: exif_transpose cannot write it back (Pillow #4346)."""
    far = entry(0x0132, 5, 1, struct.pack("<I", 8 + 2 + 24 + 4))
    tiff = b"II*\0" + struct.pack("<IH", 8, 2) + ORIENTATION_6 + far + bytes(4)
    whole = b"Exif\0\0" + tiff + struct.pack("<II", 1, 0)
    Image.fromarray(card()).save(path, "JPEG", quality=95, subsampling=0, exif=whole)


def dangling_entry(path: Path) -> None:
    """An entry whose value lies far behind the end."""
    jpeg_with_exif(path, ORIENTATION_6 + entry(0x010F, 2, 999, struct.pack("<I", 70000)), 2)


def counted_too_high(path: Path) -> None:
    """A directory that announces 900 entries and has one."""
    jpeg_with_exif(path, ORIENTATION_6, 900)


def exif_of_noise(path: Path) -> None:
    """No directory at all."""
    noise = np.random.default_rng(0).integers(0, 256, 200).astype(np.uint8).tobytes()
    Image.fromarray(card()).save(path, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + noise)


def orientation_as_text(path: Path) -> None:
    """The orientation itself is a word."""
    jpeg_with_exif(path, entry(0x0112, 2, 4, b"top\0"), 1)


def orientation_of_99(path: Path) -> None:
    """A value that means nothing."""
    jpeg_with_exif(path, entry(0x0112, 3, 1, struct.pack("<H", 99)), 1)


# What it is, whether the card comes out turned by 6
DAMAGED_EXIF: tuple[tuple[Callable[[Path], None], bool], ...] = (
    (rational_for_text, True),
    (dangling_entry, True),
    (counted_too_high, True),
    (exif_of_noise, False),
    (orientation_as_text, False),
    (orientation_of_99, False),
)


def turned(path: Path, orientation: int, pixels: Pixels) -> None:
    """Stored so that EXIF's orientation makes ``pixels`` upright."""
    stored = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.swapaxes(0, 1), 6: np.rot90, 7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](pixels)  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)


def damaged_avif(path: Path) -> None:
    """Its index is whole and its picture is noise: libavif's error is a RuntimeError."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file, "AVIF")
    data = bytearray(file.getvalue())
    start = data.find(b"mdat") + 4
    data[start:] = bytes(byte ^ 0x5A for byte in data[start:])
    path.write_bytes(data)


def postscript(path: Path) -> None:
    """EPS, for which Pillow starts Ghostscript, whatever its suffix."""
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n%%EOF\n"
    )


def of_100_million(path: Path) -> None:
    """Between the 89 million pixels that Pillow warns of and the 179 million that it refuses."""
    Image.new("L", (10_000, 10_000), 7).save(path, compress_level=1)


def heic_head(path: Path) -> None:
    """The first bytes of what an iPhone writes, under any suffix."""
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
