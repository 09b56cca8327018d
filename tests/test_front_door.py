"""``import edaformer``: everything is there, nothing heavy is imported before it is asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edaformer
from edaformer.export.exporter import ExportResult
from tests.conftest import ROOT

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
    assert loaded == {
        "edaformer", *(f"edaformer.{name}" for name in ("errors", "isr", "packages", "version"))
    }  # fmt: skip
    assert not {"numpy", "torch", "onnx", "pydantic", "PIL"} & {*ran.stdout.split()}


@pytest.mark.slow
def test_nothing_is_left_in_a_home(small_export: ExportResult, tmp_path: Path) -> None:
    """ONNX Runtime would leave a device id and an event database there."""
    home = tmp_path / "home"
    home.mkdir()
    clean = {key: value for key, value in os.environ.items()
             if "TELEMETRY" not in key and not key.startswith("XDG")}  # fmt: skip
    for command in ("check --run", "info"):
        ran = subprocess.run(
            [sys.executable, "-c", "from edaformer.cli.main import main; main()", *command.split(),
             small_export.path],
            env=clean | {"HOME": str(home)}, capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    assert list(home.iterdir()) == []


def test_who_wants_telemetry_keeps_it() -> None:
    script = "import edaformer, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, told in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        clean = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key}
        ran = subprocess.run(
            [sys.executable, "-c", script], env=clean | given, capture_output=True, text=True,
            check=True, cwd=ROOT,
        )  # fmt: skip
        assert ran.stdout.strip() == told
