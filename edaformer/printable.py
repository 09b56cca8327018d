"""Text as a terminal may show it: names come from other people's files, and escapes do things.

Class names can hold escape sequences that recolour, retitle or rewrite a terminal, characters that
turn the direction of what follows, and bytes of file names that are no text.
"""

from __future__ import annotations

import unicodedata

# control, format (direction, zero width), half of a pair, unassigned, and Unicode's own line ends
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""The text with all that cannot be seen escaped (``\x1b``); its lines stay lines."""
    if text.isascii() and text.replace("\n", " ").isprintable():
        return text
    return "".join(one if one == "\n" or _is_seen(one) else _escaped(one) for one in text)


def in_one_line(text: str) -> str:
    """The same, and line ends escaped too: a cell of a table, an attribute."""
    return printable(text).replace("\n", "\\n")


def encodable(text: str, encoding: str) -> str:
    r"""The text with all that ``encoding`` lacks escaped (``\u2192``)."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _is_seen(one: str) -> bool:
    return unicodedata.category(one) not in _UNSEEN


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
