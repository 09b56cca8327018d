"""PNG chunks with checksums that fit: sizes, depths, palettes, order, text bombs."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from random import Random

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIDES = (0, 1, 2, 17, 0x7FFF, 100_000, 0x7FFFFFFF, 0xFFFFFFFF)
_DEPTHS = (0, 1, 2, 4, 8, 16, 32)
_COLOURS = (0, 1, 2, 3, 4, 5, 6)


def head(dice: Random, data: bytes) -> bytes:
    """Another size, depth or kind of colour."""
    chunks = _chunks(data)
    if not chunks or len(chunks[0][1]) != 13:
        return data
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    what = dice.randrange(4)
    width = dice.choice(_SIDES) if what == 0 else width
    height = dice.choice(_SIDES) if what == 1 else height
    depth = dice.choice(_DEPTHS) if what == 2 else depth
    colour = dice.choice(_COLOURS) if what == 3 else colour
    packed = struct.pack(">IIBBBBB", width, height, depth, colour, *rest)
    return _joined([(b"IHDR", packed), *chunks[1:]])


def body(dice: Random, data: bytes) -> bytes:
    """A chunk's bytes."""
    chunks = _chunks(data)
    if not chunks:
        return data
    at = dice.randrange(len(chunks))
    kind, content = chunks[at]
    made = bytearray(content or b"\0")
    made[dice.randrange(len(made))] = dice.randrange(256)
    chunks[at] = (kind, bytes(made))
    return _joined(chunks)


def order(dice: Random, data: bytes) -> bytes:
    """Chunks moved, missing or twice."""
    chunks = _chunks(data)
    if not chunks:
        return data
    at = dice.randrange(len(chunks))
    what = dice.randrange(3)
    if what == 0:
        chunks.insert(dice.randrange(len(chunks)), chunks.pop(at))
    elif what == 1:
        del chunks[at]
    else:
        chunks.insert(at, chunks[at])
    return _joined(chunks)


def extra(dice: Random, data: bytes) -> bytes:
    """A chunk more: text that inflates to 64 MiB, a profile, EXIF, an animation."""
    chunks = _chunks(data)
    if not chunks:
        return data
    chunk = dice.choice(
        (
            (b"zTXt", b"Comment\0\0" + _bomb()),
            (b"iCCP", b"profile\0\0" + dice.choice((_bomb(), b"\xff" * 30))),
            (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\x06\0\0"),
            (b"acTL", struct.pack(">II", dice.choice((0, 2, 0xFFFFFFFF)), 0)),
            (b"tRNS", bytes(dice.randrange(300))),
            (b"PLTE", bytes(dice.choice((0, 1, 3, 768, 3000)))),
        )
    )
    chunks.insert(dice.randrange(1, len(chunks) + 1), chunk)
    return _joined(chunks)


@cache
def _bomb() -> bytes:
    return zlib.compress(bytes(1 << 26))


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents; empty where this is no PNG."""
    if not data.startswith(_SIGNATURE):
        return []
    at, made = 8, []
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        made.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return made


def _joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]  # fmt: skip
    return _SIGNATURE + b"".join(parts)


PNGS = (head, head, body, order, extra)
