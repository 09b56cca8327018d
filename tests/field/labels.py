"""Label pictures as tools write them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

Palette = list[tuple[int, int, int]]


def packed_png(path: Path, values: np.ndarray, bits: int, palette: Palette | None = None) -> None:
    """Grey or palette PNG of 1, 2, 4 or 8 bits a pixel, as oxipng and zopflipng reduce to.

    Pillow reads the grey ones scaled to 0..255 (Pillow, PngImagePlugin: modes ``L;2`` and ``L;4``).
    """
    height, width = values.shape
    planes = (values[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1)
    kind = 0 if palette is None else 3
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))]
    if palette is not None:
        parts.append((b"PLTE", bytes(sum(palette, ()))))
    parts.append((b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    parts.append((b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def optimised_grey(path: Path, labels: np.ndarray) -> None:
    """What oxipng makes of a grey PNG: a grey palette in the order of first appearance."""
    _, first = np.unique(labels, return_index=True)
    values = labels.ravel()[np.sort(first)]
    table = np.zeros(256, np.uint8)
    table[values] = np.arange(len(values))
    packed_png(path, table[labels], 8, [(int(v), int(v), int(v)) for v in values])


def coloured(path: Path, labels: np.ndarray, palette: Palette) -> None:
    """RGB, as CVAT's segmentation mask export writes it."""
    Image.fromarray(np.array(palette, np.uint8)[labels]).save(path)


def jpeg_named_png(path: Path, labels: np.ndarray) -> None:
    """A JPEG that was given another suffix."""
    Image.fromarray(labels).save(path, "JPEG")


def lossy_webp(path: Path, labels: np.ndarray) -> None:
    """WebP with loss, which is the default of most writers."""
    Image.fromarray(labels).convert("RGB").save(path, "WEBP", quality=80)


def cvat_labelmap(path: Path, names: list[str], palette: Palette) -> None:
    """labelmap.txt as CVAT's exporter writes it."""
    lines = [f"{n}:{r},{g},{b}::" for n, (r, g, b) in zip(names, palette, strict=True)]
    path.write_text("\n".join(["# label:color_rgb:parts:actions", *lines, ""]))
