"""A release that drops what our code touches names it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests import classic
from tests.classic import releases
from tests.classic.touched import has

TABLE: dict[str, Any] = json.loads((releases.HERE / "api.json").read_text())
STUBS = releases.HERE.parents[1] / ".typings" / "tensorrt_bindings" / "tensorrt.pyi"


def dropped(trt: Any) -> list[str]:
    release = classic.running()
    return [n for n, row in TABLE.items() if (row == "all" or release in row) and not has(trt, n)]


def test_all_is_there(trt: Any) -> None:
    assert dropped(trt) == [], f"TensorRT {classic.running()} lacks what our code touches"


def test_what_was_not_there_is_not(trt: Any) -> None:
    release = classic.running()
    came = [n for n, row in TABLE.items() if row != "all" and release not in row and has(trt, n)]
    assert came == []


def test_a_release_that_drops_one_names_it(trt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trt.IBuilderConfig, "clear_flag")
    assert dropped(trt) == ["IBuilderConfig.clear_flag"]


@pytest.mark.skipif(classic.running() != "10.13.3.9", reason="the release whose stubs mypy reads")
def test_the_stubs_know_what_we_touch() -> None:
    """tensorrt-stubs, against which mypy checks our code, are of this release."""
    known = _names(STUBS)
    wanted = {n for n, row in TABLE.items() if (row == "all" or "10.13.3.9" in row)}
    assert {n for n in wanted if n not in known} <= {"__version__"}


def _names(path: Path) -> set[str]:
    """Classes, and members with their bases', of a stub file."""
    if not path.is_file():
        pytest.skip(f"{path} is not there: python tools/tensorrt_typings.py")
    classes = {n.name: n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)}
    found = set(classes)
    for name, node in classes.items():
        found |= {f"{name}.{member}" for member in _members(node, classes)}
    return found


def _members(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    made: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            made.add(part.name)
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            made.add(part.target.id)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            made |= _members(classes[base.id], classes)
    return made
