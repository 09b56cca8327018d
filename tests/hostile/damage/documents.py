"""JSON: values of another kind, numbers without bounds, depth, names, duplicates."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

_RAW = (
    "NaN", "Infinity", "-Infinity", "1e400", "-1", "0", "1", "-0.0", "1e-400", "0.5", "null",
    "true", '""', "[]", "{}", "[[1]]", '{"a": 1}', "[null, 1, true]", "9" * 400, "9" * 5000,
    str(2**63), str(2**31 - 1), '"\\ud800"', '"../x"', '"/etc/passwd"', '"\\u001b[31m\\n"',
    '"\\u0000"', f'"{"n" * 5000}"', '"é\u2028"', "[" * 100_000 + "]" * 100_000,
    '{"a":' * 2000 + "1" + "}" * 2000,
)  # fmt: skip
_HOLE = "\x01hole\x01"  # no JSON of ours holds it


def value(dice: Random, data: bytes) -> bytes:
    """Something else for one value, at any depth."""

    def change(content: Any) -> Any:
        places = list(_places(content))
        if not places:
            return _HOLE
        holder, key = dice.choice(places)
        holder[key] = _HOLE
        return content

    return _again(data, change, dice.choice(_RAW))


def drop(dice: Random, data: bytes) -> bytes:
    """A value is missing."""

    def change(content: Any) -> Any:
        places = list(_places(content))
        if places:
            holder, key = dice.choice(places)
            del holder[key]
        return content

    return _again(data, change)


def add(dice: Random, data: bytes) -> bytes:
    """A name that nobody asked for."""

    def change(content: Any) -> Any:
        holders = [h for h, _ in _places(content) if isinstance(h, dict)]
        if holders:
            dice.choice(holders)[dice.choice(("x", "__class__", "n" * 5000, "\ud800"))] = _HOLE
        return content

    return _again(data, change, dice.choice(_RAW))


def double(dice: Random, data: bytes) -> bytes:
    """A name twice: the second counts."""
    at = data.find(b"{")
    try:
        content = json.loads(data)
        name = dice.choice(sorted(content))
    except (ValueError, TypeError, IndexError, RecursionError):
        return data
    pair = f"{json.dumps(name)}: {dice.choice(_RAW)}"
    if dice.random() < 0.5:
        return data[: at + 1] + pair.encode("utf-8", "replace") + b", " + data[at + 1 :]
    return data.rstrip()[:-1] + b", " + pair.encode("utf-8", "replace") + b"}"


def nudge(dice: Random, data: bytes) -> bytes:
    """A number by one, a text by a letter: damage that still makes sense."""

    def change(content: Any) -> Any:
        places = list(_places(content))
        if places:
            holder, key = dice.choice(places)
            old = holder[key]
            if isinstance(old, (bool, int, float)):
                holder[key] = not old if isinstance(old, bool) else old + dice.choice((1, -1))
            elif isinstance(old, str) and old:
                at = dice.randrange(len(old))
                holder[key] = old[:at] + dice.choice("0123456789ab") + old[at + 1 :]
        return content

    return _again(data, change)


def marked(dice: Random, data: bytes) -> bytes:
    """A byte order mark, another encoding, or bytes that are no text."""
    text = data.decode("utf-8", "replace")
    return dice.choice((b"\xef\xbb\xbf" + data, text.encode("utf-16"), data + b"\xff\xfe"))


def in_header(damage: Callable[[Random, bytes], bytes]) -> Callable[[Random, bytes], bytes]:
    """Of a safetensors file: its JSON, with a length that fits it."""

    def change(dice: Random, data: bytes) -> bytes:
        if len(data) < 8:
            return data
        (length,) = struct.unpack_from("<Q", data)
        header = damage(dice, data[8 : 8 + length])
        return struct.pack("<Q", len(header)) + header + data[8 + length :]

    change.__name__ = f"header_{damage.__name__}"
    return change


def _again(data: bytes, change: Callable[[Any], Any], raw: str = "null") -> bytes:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return data
    try:
        text = json.dumps(change(content))
    except RecursionError:
        return data
    return text.replace(json.dumps(_HOLE), raw).encode("utf-8", "surrogatepass")


def _places(content: Any) -> Any:
    """(holder, key) of every value."""
    pending = [content]
    while pending:
        holder = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(
            holder, list) else ()  # fmt: skip
        for key in keys:
            yield holder, key
            pending.append(holder[key])


JSONS = (value, value, value, value, drop, add, double, nudge, marked)
HEADERS = tuple(in_header(damage) for damage in (value, value, drop, add, nudge))
