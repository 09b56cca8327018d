"""Protobuf (ONNX): fields spelt otherwise, wrong types and lengths, depth, weights elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

_VARINT, _BYTES = 0, 2
_DEEP = 2000


def spelling(dice: Random, data: bytes) -> bytes:
    """A tag as a longer varint, which says the same."""
    fields = list(_fields(data))
    if not fields:
        return data
    start, end, _ = dice.choice(fields)
    tag = data[start:end]
    return data[:start] + tag[:-1] + bytes([tag[-1] | 0x80, 0x80, 0x00]) + data[end:]


def wire(dice: Random, data: bytes) -> bytes:
    """A field of another wire type."""
    fields = list(_fields(data))
    if not fields:
        return data
    start, _, _ = dice.choice(fields)
    return data[:start] + bytes([data[start] & 0xF8 | dice.randrange(8)]) + data[start + 1 :]


def length(dice: Random, data: bytes) -> bytes:
    """A length that lies."""
    fields = [end for _, end, kind in _fields(data) if kind == _BYTES]
    if not fields:
        return data
    at = dice.choice(fields)
    return data[:at] + dice.choice((b"\0", b"\x7f", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01",
                                    b"\xff" * 12)) + data[at + 1 :]  # fmt: skip


def doubled(dice: Random, data: bytes) -> bytes:
    """A top-level field once more: the last one counts, or they are joined."""
    parts = list(_top(data))
    if not parts:
        return data
    start, end = dice.choice(parts)
    return data + data[start:end]


def dropped(dice: Random, data: bytes) -> bytes:
    """A top-level field is missing."""
    parts = list(_top(data))
    if not parts:
        return data
    start, end = dice.choice(parts)
    return data[:start] + data[end:]


def deep(dice: Random, data: bytes) -> bytes:
    """Graphs in attributes of nodes of graphs: ModelProto.graph.node.attribute.g."""
    inner = b""
    for _ in range(dice.choice((50, _DEEP))):
        for field in (6, 5, 1):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            inner = bytes([field << 3 | _BYTES]) + _varint(len(inner)) + inner
    return data + bytes([7 << 3 | _BYTES]) + _varint(len(inner)) + inner


def external(dice: Random, data: bytes) -> bytes:
    """Weights that lie elsewhere, with the field spelt usually or longer."""
    location = dice.choice((b"/etc/passwd", b"../secret", b"beside.bin"))
    entry = b"\x0a\x08location\x12" + _varint(len(location)) + location
    if dice.random() < 0.5:
        entry = b"\x8a\x00\x88\x00location\x12" + _varint(len(location)) + location
    tensor = b"\x6a" + _varint(len(entry)) + entry + b"\x70\x01"  # external_data, EXTERNAL
    tensor = b"\x08\x05\x10\x01\x42\x07weights" + tensor
    graph = b"\x2a" + _varint(len(tensor)) + tensor  # GraphProto.initializer
    return data + b"\x3a" + _varint(len(graph)) + graph


def _fields(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, end of the tag, wire type) at the top and one level below."""
    for start, end in _top(data):
        yield from _one(data, start, end)


def _one(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    tag, at = _read(data, start)
    yield start, at, tag & 7
    if tag & 7 == _BYTES:
        _, inside = _read(data, at)
        for below, _ in _top(data[inside:end]):
            number, after = _read(data, inside + below)
            yield inside + below, after, number & 7


def _top(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each field, as far as it makes sense."""
    at = 0
    while at < len(data):
        start = at
        try:
            tag, at = _read(data, at)
            if tag & 7 == _VARINT:
                _, at = _read(data, at)
            elif tag & 7 == _BYTES:
                size, at = _read(data, at)
                at += size
            else:
                at += {1: 8, 5: 4}[tag & 7]
        except (IndexError, KeyError):
            return
        if at > len(data):
            return
        yield start, at


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


PROTOBUFS = (spelling, wire, length, doubled, dropped, deep, external)
