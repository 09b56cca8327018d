"""Files that say what label values or colours are, a line each, and class lists.

name:red,green,blue   with CVAT's ``::`` after it (labelmap.txt), commas or blanks between
red green blue name
value name
name                  a class list, in the order of the classes
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path

from edaformer.errors import DataError

Colour = tuple[int, int, int]

VOID_NAMES = ("void", "ignore", "ignored", "unlabelled", "unlabeled", "background", "none")
_THREE = r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})"
_NAME_FIRST = re.compile(rf"(.*\S?)(?:\s*[:,]\s*|\s+){_THREE}\s*:?[^:]*:?.*")
_COLOUR_FIRST = re.compile(rf"{_THREE}[\s,:]+(\S.*)")
_VALUE = re.compile(r"(\d{1,3})[\s,:]+(\S.*)")


@dataclass(frozen=True)
class LabelFile:
    """Names in the order of the lines, and what stands for them; one of the two, or neither."""

    names: tuple[str, ...]
    colours: tuple[tuple[Colour, str], ...] = field(default=())
    values: tuple[tuple[int, str], ...] = field(default=())


def read_label_file(path: Path) -> LabelFile:
    """Read a file of any of the forms; all of its lines are of one.

    Raises:
        DataError: if it is none, or not UTF-8.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if colours := _colours(lines):
        return _checked(path, LabelFile(tuple(name for _, name in colours), colours=colours))
    matches = [_VALUE.fullmatch(line) for line in lines]
    if lines and all(matches):
        values = tuple((int(match[1]), match[2].strip()) for match in matches if match)
        return _checked(path, LabelFile(tuple(name for _, name in values), values=values))
    return LabelFile(tuple(lines))


def read_text(path: Path) -> str:
    """A text file in UTF-8, with a mark or without.

    Raises:
        DataError: naming the encoding that it is in instead.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the name") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise DataError(f"{path} is in UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not in UTF-8 but, by its line {line}, in cp1252 (Windows) or another code "
            "page; save it as UTF-8"
        ) from error


def _colours(lines: list[str]) -> tuple[tuple[Colour, str], ...]:
    """Of all lines; none where one has no colour."""
    made = []
    for line in lines:
        if match := _COLOUR_FIRST.fullmatch(line):
            name, parts = match[4], match.groups()[:3]
        elif (match := _NAME_FIRST.fullmatch(line)) and match[1].strip():
            name, parts = match[1], match.groups()[1:4]
        else:
            return ()
        red, green, blue = (int(part) for part in parts)
        made.append(((red, green, blue), name.strip()))
    return tuple(made)


def _checked(path: Path, file: LabelFile) -> LabelFile:
    keys: list[int | Colour] = [key for key, _ in file.colours]
    keys += [key for key, _ in file.values]
    for key in keys:
        if max(key if isinstance(key, tuple) else (key,)) > 255:
            raise DataError(f"{path} holds {_shown(key)}; expected values of 0 to 255")
        if keys.count(key) > 1:
            raise DataError(f"{path} holds {_shown(key)} twice; leave one out")
    return file


def _shown(key: int | Colour) -> str:
    return ",".join(map(str, key)) if isinstance(key, tuple) else str(key)
