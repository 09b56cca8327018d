"""``import edaformer``: everything is there, nothing heavy is imported before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edaformer

LAZY = sorted(edaformer._HOMES)


def test_everything_is_listed() -> None:
    assert set(edaformer.__all__) == {*LAZY, "ISR", "EdaformerError", "__version__"}
    assert set(edaformer.__all__) <= set(dir(edaformer))


@pytest.mark.parametrize("name", LAZY)
def test_every_name_leads_home(name: str) -> None:
    found = getattr(edaformer, name)
    assert callable(found)
    assert found is getattr(import_module(edaformer._HOMES[name]), name)
    assert found.__doc__


def test_editors_are_told_the_same() -> None:
    """What type checkers read is what is brought in."""
    tree = ast.parse(Path(edaformer.__file__).read_text())
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: statement.module
        for statement in typed.body if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }  # fmt: skip
    assert told == edaformer._HOMES


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        edaformer.segment  # noqa: B018


def test_importing_brings_in_nothing_heavy() -> None:
    code = "import sys, edaformer; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in ran.stdout.split() if name.startswith("edaformer")}
    assert loaded == {"edaformer", "edaformer.errors", "edaformer.isr", "edaformer.version"}
    assert not {"numpy", "torch", "onnx", "pydantic", "PIL"} & {*ran.stdout.split()}
