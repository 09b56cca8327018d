"""``--threads``: before anything is computed, in every command that computes on the CPU."""

from __future__ import annotations

import importlib

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.errors import InputError

COMMANDS = {
    "export": (), "validate": ("x.onnx",), "tune": (), "adapt": (), "run": ("x.onnx", "x.png"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("given", [None, 3])
def test_is_heard_first(command: str, given: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(number: int | None = None) -> int:
        raise InputError(f"asked for {number}")

    monkeypatch.setattr(importlib.import_module(f"edaformer.cli.{command}"), "share_cores", asked)
    option = () if given is None else ("--threads", str(given))
    ran = CliRunner().invoke(app, [command, *COMMANDS[command], *option])
    assert (ran.exit_code, ran.stderr) == (2, f"error: asked for {given}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_that_no_machine_has(command: str) -> None:
    ran = CliRunner().invoke(app, [command, *COMMANDS[command], "--threads", "0"])
    assert ran.exit_code == 2
    assert "expected --threads of 1 to 1024, got 0" in ran.stderr
