"""Files of class names, one a line, and what a name may be."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from edaformer.errors import InputError

_LARGEST = 1 << 20  # bytes of such a file: 256 names are a few thousand
_LONGEST = 256  # characters of a name
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),  # before UTF-16: a prefix
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip


def read_names(path: Path) -> tuple[str, ...]:
    """The lines that are not blank, without the blanks around them.

    Raises:
        InputError: if it is not UTF-8 text, naming what it looks like, or a line is no name.
    """
    names = tuple(name for line in read_text(path).splitlines() if (name := line.strip()))
    if not names:
        raise InputError(f"expected class names in {path}, one a line, found none")
    if problem := why_no_names(names):
        raise InputError(f"expected class names in {path}, one a line, but {problem}; mend it")
    return names


def read_text(path: Path) -> str:
    """UTF-8 with or without a byte order mark; nothing is replaced.

    Raises:
        InputError: naming the encoding it looks like, and the line that converts it.
    """
    if not path.is_file():
        raise InputError(f"expected a text file at {path}, found none; check the path")
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path} is above {_LARGEST >> 20} MiB, which no list is; check the path")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _another_encoding(path, data, error) from error
    if "\0" in text:
        raise _another_encoding(path, data)
    return text


def why_no_names(names: Sequence[object]) -> str | None:
    """What is wrong with these as class names; None where nothing is."""
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            return f"name {number} is {name!r:.60}, no text"
        if not name.isprintable():  # a line break, an escape sequence, half a surrogate pair
            return f"name {number}, {name[:60]!a}, has characters that cannot be printed"
        if len(name) > _LONGEST:
            return f"name {number} has {len(name)} characters, above {_LONGEST}"
    return None


def _another_encoding(
    path: Path, data: bytes, error: UnicodeDecodeError | None = None
) -> InputError:
    kind = _unicode_kind(data)
    if kind is None:
        where = ""
        if error is not None:
            line = data.count(b"\n", 0, error.start) + 1
            where = f" (line {line} has the byte 0x{data[error.start]:02x})"
        try:
            data.decode("cp1252")
            kind = "CP1252"
        except UnicodeDecodeError:
            return InputError(f"expected UTF-8 text in {path}{where}; save it as UTF-8")
        found = f"found what looks like Windows-1252{where}"
    else:
        found = f"found {kind}"
    return InputError(
        f"expected UTF-8 in {path}, {found}; convert it: iconv -f {kind} -t UTF-8 "
        f"{path.name} > utf8.txt"
    )


def _unicode_kind(data: bytes) -> str | None:
    """UTF-16 or UTF-32, by their mark, or by the zeros that Latin letters have there."""
    for mark, kind in _MARKS:
        if data.startswith(mark):
            return kind
    zeros = data[1::2].count(0), data[::2].count(0)
    if len(data) > 1 and max(zeros) > len(data) // 4 > min(zeros):
        return "UTF-16LE" if zeros[0] > zeros[1] else "UTF-16BE"
    return None
