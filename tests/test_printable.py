from __future__ import annotations

import re

import pytest

from edaformer.printable import encodable, in_one_line, printable
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain road, 3 \N{MULTIPLICATION SIGN} 4", "plain road, 3 \N{MULTIPLICATION SIGN} 4"),
        ("V\xe9hicule\N{NO-BREAK SPACE}lourd \u8def", "V\xe9hicule\N{NO-BREAK SPACE}lourd \u8def"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("back\r\b\x7f\x9b1m", r"back\r\x08\x7f\x9b1m"),  # 9b: an escape in one byte
        ("right\u202eto left\u2066", r"right\u202eto left\u2066"),
        ("caf\udce9.png", r"caf\udce9.png"),  # a file name's byte that is no UTF-8
        ("line\u2028end\uffff", r"line\u2028end\uffff"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_cell_is_one_line() -> None:
    assert in_one_line("road\npassed") == r"road\npassed"


def test_a_console_that_lacks_a_letter() -> None:
    assert encodable("caf\xe9 \N{RIGHTWARDS ARROW}", "cp1252") == "caf\xe9 \\u2192"


def test_commands_print_in_one_place() -> None:
    """common.py's, which makes it printable."""
    printing = re.compile(r"typer\.(?:echo|secho)\(|\bprint\(|sys\.std(?:out|err)\.write")
    folder = ROOT / "edaformer/cli"
    found = [path.name for path in folder.glob("*.py") if printing.search(path.read_text())]
    assert found == ["common.py"]
