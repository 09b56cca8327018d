"""Paths that lead nowhere are told before PyTorch is loaded, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from typer.testing import CliRunner
from edaformer.cli.main import app
ran = CliRunner().invoke(app, sys.argv[1:])
print(ran.exit_code, ran.stderr, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("export absent.pth", "expected a checkpoint file at absent.pth, found nothing there"),
        ("export -o /dev/null/x.onnx", "but it is a file; name another with -o"),
        ("export --data camvid:/nowhere", "expected a folder at /nowhere, found nothing there"),
        ("validate absent.onnx", "found nothing there"),
        ("validate --checkpoint absent.pth --save-reference x.ref", "found nothing there"),
        ("validate --data folder:~/none --save-reference x.ref", "/none, found nothing there"),
        ("tune absent.pth", "expected a checkpoint file at absent.pth, found nothing there"),
        ("tune --data camvid:/nowhere", "expected a folder at /nowhere, found nothing there"),
    ],
)
def test_before_pytorch(command: str, words: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CODE, *command.split()], capture_output=True, text=True, check=True
    )
    assert words in ran.stdout
    assert "~" not in ran.stdout
    assert ran.stdout.startswith("2 ")
    assert ran.stdout.endswith(" False\n")
