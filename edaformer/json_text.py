"""The JSON of our own files, read back from wherever it lay since: with bounds, never believed.

The rules of JSON, and some more: what json.loads takes beside it (NaN, infinities, a name given
twice) is refused, and so is what would cost a parser its stack or its memory.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

MOST_BYTES = 16 << 20
_DEEPEST = 64
_LARGEST = 2**63 - 1  # integers
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What a file of ours holds.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not such JSON, in words.
    """
    with path.open("rb") as file:
        return parse_json(file.read(most_bytes + 1), most_bytes)


def parse_json(text: str | bytes, most_bytes: int = MOST_BYTES) -> Any:
    """What a text of ours holds.

    Raises:
        ValueError: if it is not such JSON, in words.
    """
    if len(text) > most_bytes:
        raise ValueError(f"it is longer than {most_bytes} bytes")
    if isinstance(text, bytes):
        text = _decoded(text)
    _check_depth(text)
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: byte {error.start} is {data[error.start]:#x}") from None


def _check_depth(text: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _number(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"it holds {text[:20]}, which is no number here")
    return float(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("it gives a name twice")
    return made
