from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.json_text import parse_json, read_json


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is not JSON: Expecting value"),
        ('{"a": 1,}', "it is not JSON"),
        ("NaN", "it holds NaN"),
        ("-Infinity", "it holds -Infinity"),
        ("1e999", "it holds 1e999, which is no number here"),
        ("9" * 5000, "it holds a number of 5000 digits"),  # int() itself would refuse
        (str(2**63), "it holds a number of 19 digits"),
        ("[" * 65 + "]" * 65, "it is nested more than 64 deep"),
        ('{"a":' * 100_000, "it is nested more than 64 deep"),
        ('{"a": 1, "a": 2}', "it gives a name twice"),
        (b"\xff\xfe{\0}\0", "it is not UTF-8: byte 0 is 0xff"),
    ],
)
def test_what_is_refused(text: str | bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a": "\"[[["}', {"a": '"[[['}),
        ("[" * 64 + "]" * 64, None),
        (str(-(2**63) + 1), -(2**63) + 1),
        ("[1.5e300, -0.0, 1E-999]", [1.5e300, 0.0, 0.0]),
        ('"\u8def"'.encode(), "\u8def"),
    ],
)
def test_what_is_read(text: str | bytes, value: object) -> None:
    made = parse_json(text)
    assert value is None or made == value


def test_a_file_is_not_read_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    assert read_json(path, 6) == [1, 2]
    with pytest.raises(ValueError, match="longer than 5 bytes"):
        read_json(path, 5)
