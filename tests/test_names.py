from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.errors import InputError
from edaformer.names import read_names, why_no_names

NAMES = ("Straße", "Gehweg", "ciel")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_a_line(encoding: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes((end.join(("  Straße ", "", *NAMES[1:])) + end).encode(encoding))
    assert read_names(path) == NAMES


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "found UTF-16; convert it: iconv -f UTF-16 -t UTF-8 names.txt"),
        ("utf-16-le", "found UTF-16LE; convert it: iconv -f UTF-16LE"),
        ("utf-16-be", "found UTF-16BE"),
        ("utf-32", "found UTF-32"),
        ("cp1252", r"looks like Windows-1252 \(line 1 has the byte 0xdf\); convert it: .*CP1252"),
    ],
)
def test_another_encoding_is_named(encoding: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes("\n".join(NAMES).encode(encoding))
    with pytest.raises(InputError, match=words):
        read_names(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found none"),
        (b"\n \n", "found none"),
        (b"road\n\x81\x8d\n", r"line 2 has the byte 0x81\); save it as UTF-8"),
        (b"road\nsky\x1b[31m\n", r"name 1, 'sky\\x1b\[31m', has characters that cannot be printed"),
        (b"x" * 257, "name 0 has 257 characters"),
    ],
)
def test_what_is_no_list_of_names(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_names(path)
    with pytest.raises(InputError, match="found none; check the path"):
        read_names(tmp_path / "absent.txt")


def test_what_a_name_may_be() -> None:
    assert why_no_names(NAMES) is None
    assert why_no_names(["road", "\ud800"]) == (
        "name 1, '\\ud800', has characters that cannot be printed"
    )
    assert why_no_names(["road", 3]) == "name 1 is 3, no text"
