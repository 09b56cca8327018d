"""What an ONNX file's graph is, read from its bytes: its hash, its types, its inputs and outputs.

The hash is over nodes, types and weights. It does not see what changes no computation: the order in
which protobuf writes fields, names and texts for people, metadata, shapes inferred on the way. Pure
Python, as no device needs to have the onnx package. Field numbers are onnx.proto3's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

FLOAT, UINT8, FLOAT16 = 1, 2, 10  # TensorProto.DataType
_EIGHT_BITS = {3, 17}  # INT8, FLOAT8E4M3FN: of weights and zero points
_DEPTH = 32  # of messages within messages: 8 are ours
_OURS = {"", "ai.onnx"}

# Fields of each message that are messages themselves, those left out of the hash, and those whose
# order means nothing (each such message has its name in field 1 or, a tensor, 8)
_INNER: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 8: "Opset", 14: "Entry", 20: "Other", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 22: "Sparse", 10: "Tensor", 11: "Graph", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Value": {2: "Type"},
    "Type": {1: "TensorType"},
    "TensorType": {2: "Shape"},
    "Shape": {1: "Dimension"},
}
_LEFT_OUT = {
    "Model": {2, 3, 4, 5, 6, 14}, "Graph": {2, 10, 16}, "Function": {8, 14}, "Node": {6, 9},
    "Attribute": {13}, "Tensor": {12, 16}, "Value": {3, 4},
}  # fmt: skip
_UNORDERED = {("Model", 8), ("Graph", 5), ("Graph", 13), ("Node", 5)}
_PACKED = {("Tensor", 1), ("Tensor", 5), ("Tensor", 7), ("Attribute", 8), ("Sparse", 3)}  # varints

Message = dict[int, list[Any]]  # field number -> ints, bytes, or messages inside


@dataclass(frozen=True)
class Port:
    """An input or output of the graph."""

    name: str
    type: int  # TensorProto.DataType
    shape: tuple[int | None, ...]  # None: dynamic


@dataclass(frozen=True)
class Scan:
    """A graph as its file has it."""

    sha256: str  # of nodes, types and weights
    producer: str
    domains: tuple[str, ...]  # of operators that are not ONNX's own
    half: bool  # whether any tensor is FLOAT16
    eight_bits: bool  # whether any weight or zero point is INT8 or FP8
    external: bool  # whether weights lie in other files
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str] = field(hash=False)


def scan(data: bytes) -> Scan:
    """Read a serialised model.

    Raises:
        ValueError: if it is none.
    """
    model = _parse(memoryview(data), "Model", 0)
    (graph,) = model.get(7) or [{}]
    nodes, tensors = [*_all(model, "Model", "Node")], [*_all(model, "Model", "Tensor")]
    values = [_port(value) for at in (11, 12, 13) for value in graph.get(at, [])]
    initial = {_text(tensor, 8) for tensor in graph.get(5, [])}
    half = any(_number(tensor, 2) == FLOAT16 for tensor in tensors)
    return Scan(
        sha256=_digest(model),
        producer=" ".join(filter(None, (_text(model, 2), _text(model, 3)))),
        domains=tuple(sorted({_text(node, 7) for node in nodes} - _OURS)),
        half=half or any(value.type == FLOAT16 for value in values),
        eight_bits=any(_number(tensor, 2) in _EIGHT_BITS for tensor in tensors),
        external=any(tensor.get(13) or _number(tensor, 14) for tensor in tensors),
        inputs=tuple(p for p in map(_port, graph.get(11, [])) if p.name not in initial),
        outputs=tuple(map(_port, graph.get(12, []))),
        metadata={_text(entry, 1): _text(entry, 2) for entry in model.get(14, [])},
    )


def _port(value: Message) -> Port:
    (kind,) = value.get(2) or [{}]
    (tensor,) = kind.get(1) or [{}]
    (shape,) = tensor.get(2) or [{}]
    sides = (_number(side, 1) if 1 in side else None for side in shape.get(1, []))
    return Port(_text(value, 1), _number(tensor, 1), tuple(sides))


def _all(message: Message, kind: str, wanted: str) -> Iterator[Message]:
    """Every message of a kind within, subgraphs and functions included."""
    for at, inner in _INNER.get(kind, {}).items():
        for one in message.get(at, []):
            if inner == wanted:
                yield one
            yield from _all(one, inner, wanted)


def _digest(model: Message) -> str:
    made = hashlib.sha256()
    _feed(made, model, "Model")
    return made.hexdigest()


def _feed(made: Any, message: Message, kind: str) -> None:
    """One form for every way to write the message down; lengths keep neighbours apart."""
    inner, left_out = _INNER.get(kind, {}), _LEFT_OUT.get(kind, set())
    for at in sorted(message.keys() - left_out):
        values = message[at]
        if (kind, at) == ("Graph", 13):  # inferred types count, shapes do not
            values = [_typed(value) for value in values]
        if (kind, at) in _UNORDERED:
            values = sorted(values, key=_name)
        made.update(b"%d:%d;" % (at, len(values)))
        for value in values:
            if at in inner:
                made.update(b"(")
                _feed(made, value, inner[at])
                made.update(b")")
            elif isinstance(value, int):
                made.update(b"%d," % value)
            else:
                made.update(b"%d'" % len(value))
                made.update(value)


def _typed(value: Message) -> Message:
    """A value with its element type alone."""
    return {1: value.get(1, []), 2: [{1: [{1: [_port(value).type]}]}]}


def _name(message: Message) -> bytes:
    """A tensor's name, or another message's first field."""
    named = message.get(8) or message.get(1) or [b""]
    return bytes(named[-1]) if not isinstance(named[-1], int) else b""


def _text(message: Message, at: int) -> str:
    value = (message.get(at) or [b""])[-1]
    if isinstance(value, int | dict):
        raise ValueError("a number where a text belongs")  # noqa: TRY004  # of the file's, not ours
    return bytes(value).decode()


def _number(message: Message, at: int) -> int:
    value = (message.get(at) or [0])[-1]
    if not isinstance(value, int):
        raise ValueError("a text where a number belongs")  # noqa: TRY004
    return value


def _parse(data: memoryview, kind: str, depth: int) -> Message:
    """A message's fields; what is no message stays a view of the bytes, weights too."""
    if depth > _DEPTH:
        raise ValueError("messages nested too deep")
    inner, message, at = _INNER.get(kind, {}), Message(), 0
    while at < len(data):
        number, wire, value, at = _field(data, at)
        values = message.setdefault(number, [])
        if number in inner:
            if wire != 2:
                raise ValueError("a number where a message belongs")
            values.append(_parse(value, inner[number], depth + 1))
        elif wire == 2 and (kind, number) in _PACKED:
            values.extend(_varints(value))
        else:
            values.append(value)
    return message


def _field(data: memoryview, at: int) -> tuple[int, int, Any, int]:
    """Number, wire type and value of the field at ``at``, and where the next one begins."""
    tag, at = _varint(data, at)
    number, wire = tag >> 3, tag & 7
    if number == 0 or number > 1 << 29:
        raise ValueError("no field has this number")
    if wire == 0:
        value, at = _varint(data, at)
        return number, wire, value, at
    length = {1: 8, 5: 4}.get(wire, -1)
    if wire == 2:
        length, at = _varint(data, at)
    if length < 0 or at + length > len(data):
        raise ValueError("a field that does not end")
    return number, wire, data[at : at + length], at + length


def _varints(part: memoryview) -> Iterator[int]:
    at = 0
    while at < len(part):
        value, at = _varint(part, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("a number that does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number longer than 64 bits")
