"""Text within the terminal's width: names and values, tables, and lines.

A word that is longer than a line, such as a path or a hash, stays whole and stands out; what is to
be typed is not wrapped, since it could not be copied then.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

WITHOUT_TERMINAL = 80  # columns
_LEAST = 40  # columns, of a terminal that says less
_INDENT = "  "

Row = Sequence[str]


def columns() -> int:
    """The terminal's width; $COLUMNS overrules it, and WITHOUT_TERMINAL stands in for it."""
    return max(shutil.get_terminal_size((WITHOUT_TERMINAL, 24)).columns, _LEAST)


def line(text: str) -> Iterator[str]:
    """A line; what does not fit goes on below, further in."""
    own = text[: len(text) - len(text.lstrip())]
    yield from _wrapped(text, columns(), indent=own + _INDENT)


def pairs(named: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names and values, a pair a line; a value goes on below itself."""
    width = max((len(name) for name, _ in named), default=0)
    room = columns() - len(_INDENT) - width - 2
    for name, value in named:
        first, *others = _wrapped(value, room)
        yield f"{_INDENT}{name:<{width}}  {first}"
        yield from (f"{_INDENT}{'':<{width}}  {other}" for other in others)


def table(heads: Row, rows: Sequence[Row]) -> Iterator[str]:
    """The first column left and the others right aligned; without a head, left.

    Where that is too wide, the first column's cells go on below themselves; where that does not do,
    columns go on in a second table below.
    """
    for number, chosen in enumerate(_blocks(heads, rows)):
        if number:
            yield ""
        part = [[row[at] for at in chosen] for row in (heads, *rows)]
        yield from _lines(part[0], part[1:])


def _blocks(heads: Row, rows: Sequence[Row]) -> list[list[int]]:
    """Columns of each table, the first in all of them."""
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    first = _longest_word([row[0] for row in (heads, *rows)])
    blocks, left = [[0]], columns() - first
    for at in range(1, len(heads)):
        if widths[at] + 2 > left and len(blocks[-1]) > 1:
            blocks.append([0])
            left = columns() - first
        blocks[-1].append(at)
        left -= widths[at] + 2
    return blocks


def _lines(heads: Row, rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    least = _longest_word([row[0] for row in (heads, *rows)])
    widths[0] = max(min(widths[0], columns() - sum(width + 2 for width in widths[1:])), least)
    left = [at == 0 or not head for at, head in enumerate(heads)]
    yield _joined(heads, widths, left)
    yield "  ".join("-" * width for width in widths)
    for row in rows:
        name, *others = _wrapped(row[0], widths[0])
        yield _joined([name, *row[1:]], widths, left)
        yield from others


def _joined(row: Row, widths: Sequence[int], left: Sequence[bool]) -> str:
    cells = (
        cell.ljust(width) if is_left else cell.rjust(width)
        for cell, width, is_left in zip(row, widths, left, strict=True)
    )
    return "  ".join(cells).rstrip()


def _longest_word(cells: Sequence[str]) -> int:
    return max(len(word) for cell in cells for word in (cell.split() or [""]))


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """``text`` over lines of ``width``; its spaces stay where nothing has to be wrapped."""
    if len(text) <= width:
        return [text]
    return textwrap.wrap(
        text,
        max(width, 1),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [text]
