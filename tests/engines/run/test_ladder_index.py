from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.run.ladder_index import read_index
from edaformer.errors import InputError, ManifestError
from tests.ladders import index


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema_version": 2}, r"of schema 1, .*it says 2"),
        ({"schema_version": [9] * 9999}, r"it says \[9, 9, 9, 9"),
        ({"rungs": []}, "rungs: Tuple should have at least 1 item"),
        ({"rungs": [{}]}, r"rungs\.0\.isr: Field required"),
        ({"rungs": [{"isr": "base", "artifact": "a" * 5000}]}, "at most 255 characters"),
        ({"rungs": [{"isr": "8" * 5000, "artifact": "a.onnx"}]}, "at most 255 characters"),
        ({"rungs": [{"isr": 3, "artifact": "a.onnx"}]}, "should be a valid string"),
        ({"rungs": {"isr": "base"}}, "rungs: Input should be a valid"),
        ({"size": 3}, "size: Input should be a valid tuple"),
        ({"size": [0, 4]}, "greater than or equal to 1"),
        ({"size": [-60, 90]}, "greater than or equal to 1"),
        ({"size": [10**6, 10**6]}, "less than or equal to 65536"),
        ({"size": [60.5, 90]}, "valid integer"),
        ({"size": [True, 90]}, "valid integer"),
        ({"size": [60, 90, 3]}, "at most 2 items"),
        ({"size": [10**30, 90]}, "a number of 31 digits"),
        ({"size": [float("inf"), 90]}, "it holds Infinity"),
        ({"deep": json.loads("[" * 500 + "]" * 500)}, "nested more than 64 deep"),
    ],
)
def test_a_damaged_index(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=told):
        read_index(index(tmp_path, **changes))


@pytest.mark.parametrize(
    "name", ["missing.plan", "../a.onnx", "/etc/hostname", "\u8def" * 200, "a\0b"]
)
def test_rungs_lie_beside_the_index(name: str, tmp_path: Path) -> None:
    path = index(tmp_path, rungs=[{"isr": "base", "artifact": name}])
    with pytest.raises(InputError, match="is not beside it; copy the whole folder"):
        read_index(path)
    with pytest.raises(InputError, match="edaformer-tune --ladder 3"):
        read_index(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is not JSON"),
        (b"[1]", "it says None"),
        (b"[" * 100_000, "nested more than 64 deep"),
        (b'{"schema_version": 1}\xff', "it is not UTF-8: byte 21 is 0xff"),
        (b'{"size": [1, 1], "size": [2, 2]}', "it gives a name twice"),
        (b" " * (1 << 20) + b"{}", "longer than 1048576 bytes"),
    ],
)
def test_another_file_is_no_index(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "ladder.json"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=told):
        read_index(path)
