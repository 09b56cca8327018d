"""Finds at their smallest, tried before every campaign: what was believed, raised, hung or grew.

Each is a few lines that make the file from a sound one, rather than the file.
"""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Change = Callable[[bytes], bytes]

_FINDS = Path(__file__).parent / "finds"
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 92 60\n%%EndComments\nshowpage\n%%EOF\n"


@dataclass(frozen=True)
class Known:
    """A find."""

    name: str
    reader: str
    file: str  # a pattern; the first one that fits
    change: Change
    refused: bool = True  # whether it must be refused; else it may be read, too

    def apply(self, folder: Path) -> None:
        """Overwrite the file."""
        path = min(folder.glob(self.file))
        path.write_bytes(self.change(path.read_bytes()))


def entries(**changes: Any) -> Change:
    """Of a JSON object."""
    return lambda data: json.dumps(json.loads(data) | changes).encode("utf-8", "surrogatepass")


def text(old: str, new: str) -> Change:
    """Of a file's text, which must be there."""

    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode("utf-8", "surrogatepass"), 1)

    return change


def byte(at: int, value: int) -> Change:
    """One byte."""

    def change(data: bytes) -> bytes:
        made = bytearray(data)
        made[at] = value
        return bytes(made)

    return change


def flipped(at: int) -> Change:
    """A bit of the byte there."""
    return lambda data: byte(at, data[at] ^ 1)(data)


def half(data: bytes) -> bytes:
    """As a broken download leaves it."""
    return data[: len(data) // 2]


def replaced(content: bytes) -> Change:
    """All of it."""
    return lambda _: content


def meta(content: str) -> Change:
    """The metadata in a safetensors header."""

    def change(data: bytes) -> bytes:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        header["__metadata__"] = {"edaformer": content}
        made = json.dumps(header).encode()
        return struct.pack("<Q", len(made)) + made + data[8 + length :]

    return change


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content))  # fmt: skip


def _mapped(*wanted: object) -> Change:
    """Every shard of an index by these names."""

    def change(data: bytes) -> bytes:
        content = json.loads(data)
        names = sorted(content["weight_map"])
        content["weight_map"] = {name: wanted[at % len(wanted)] for at, name in enumerate(names)}
        return json.dumps(content).encode()

    return change


def _damaged_record(data: bytes) -> bytes:
    """A bit of a member's content, whose CRC stays as it was."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    name, extra = struct.unpack_from("<HH", data, largest.header_offset + 26)
    return flipped(largest.header_offset + 30 + name + extra)(data)


def _row(statement: str) -> Change:
    def change(data: bytes) -> bytes:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(data)
            connection.execute(statement)
            connection.commit()
            return connection.serialize()

    return change


def _external(location: bytes, key: bytes = b"\x0a\x08location") -> Change:
    """A tensor whose weights lie elsewhere, behind a graph as it is."""

    def wrapped(field: int, content: bytes) -> bytes:
        return bytes([field << 3 | 2, len(content)]) + content

    entry = key + wrapped(2, location)
    tensor = b"\x08\x01\x10\x01\x42\x01x" + wrapped(13, entry) + b"\x70\x01"
    return lambda data: data + wrapped(7, wrapped(5, tensor))


_LONG_TAG = b"\x8a\x00\x08location"  # field 1 in two bytes
CORPUS = (
    Known("an EPS named .png, which Ghostscript would run", "data set", "images/*.png",
          replaced(_EPS)),
    Known("labels that are an EPS", "labels", "labels/*.png", replaced(_EPS)),
    Known("labels with an animation that is none: a warning", "validate", "data/labels/*.png",
          lambda data: data[:-12] + _chunk(b"acTL", bytes(8)) + data[-12:], refused=False),
    Known("a video in a codec that FFmpeg does not know", "avi", "*.avi", byte(191, 0),
          refused=False),
    Known("colour planes that cannot be decoded: RuntimeError", "avif", "*.avif",
          replaced((_FINDS / "planes.avif").read_bytes())),
    Known("a legacy file, cut: struct.error", "legacy pth", "*", half),
    Known("a record whose CRC is wrong", "pth", "*", _damaged_record),
    Known("a palette of infinities", "safetensors", "*",
          meta('{"palette": [[Infinity, 0, 0], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]}'),
          refused=False),
    Known("metadata nested 100,000 deep", "safetensors", "*",
          meta("[" * 100_000 + "]" * 100_000), refused=False),
    Known("weights outside of the folder", "Hugging Face", "model/*.index.json",
          _mapped("../model/model-00001-of-00002.safetensors")),
    Known("weights at an absolute path", "Hugging Face", "model/*.index.json",
          _mapped("/etc/passwd")),
    Known("a shard of 5,000 letters", "Hugging Face", "model/*.index.json",
          _mapped("x" * 5000 + ".safetensors")),
    Known("an index of nulls and numbers", "Hugging Face", "model/*.index.json",
          _mapped(None, 7, [])),
    Known("an index without its map", "Hugging Face", "model/*.index.json", replaced(b"{}")),
    Known("ten million classes", "Hugging Face", "model/config.json",
          entries(num_labels=10_000_000, id2label=None)),
    Known("a way to quantise, which imports", "Hugging Face", "model/config.json",
          entries(quantization_config={"quant_method": "bitsandbytes"})),
    Known("a lone surrogate in a name", "Hugging Face", "model/config.json",
          entries(id2label={str(at): "\ud800" for at in range(5)}), refused=False),
    Known("weights elsewhere", "info of onnx", "*.onnx", _external(b"/etc/passwd")),
    Known("weights elsewhere, spelt longer", "info of onnx", "*.onnx",
          _external(b"/etc/passwd", _LONG_TAG)),
    Known("weights elsewhere, spelt longer, to run", "run", "*.onnx",
          _external(b"/etc/passwd", _LONG_TAG)),
    Known("a changed digit in a sidecar", "plan", "*.plan.json", text('"8.9"', '"8.6"')),
    Known("another size in a sidecar", "info of plan", "*.plan.json",
          text('"version": "1.7.1.116"', '"version": "1.7.1.117"')),
    Known("names that move the terminal's cursor", "info of onnx", "*.onnx",
          text('"road"', '"\u009b2J"'), refused=False),
    Known("a flipped bit of an entry", "reference cache", "cache/**/*.reference", flipped(20),
          refused=False),
    Known("a flipped bit of a count", "trials", "*.sqlite",
          _row("UPDATE trials SET counts = x'01' || substr(counts, 2)"), refused=False),
    Known("a schema that is no text", "trials", "*.sqlite",
          lambda data: data[:4074] + data[4100:]),
    Known("a count of another type", "trials", "*.sqlite", _row("UPDATE trials SET counts = 7"),
          refused=False),
    Known("frames of infinite size", "ladder", "ladder.json", text("60, 92", "Infinity, 92")),
    Known("frames of negative size", "ladder", "ladder.json", text("60, 92", "60, -92")),
    Known("frames of a million lines", "ladder", "ladder.json", text("60, 92", "1000000, 1000000")),
    Known("an artifact of 5,000 letters", "ladder", "ladder.json", text("x.onnx", "x" * 5000)),
    Known("an index nested 100,000 deep", "ladder", "ladder.json",
          replaced(b"[" * 100_000 + b"]" * 100_000)),
    Known("a record nested 100,000 deep", "record", "record.json",
          replaced(b"[" * 100_000 + b"]" * 100_000)),
)  # fmt: skip
NAMED = {known.name: known for known in CORPUS}
