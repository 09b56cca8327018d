from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_a_handful_of_kills_leaves_nothing_half_written() -> None:
    """In a process without threads; ``python -m tests.hostile --kills 200`` is the long run."""
    command = [sys.executable, "-m", "tests.hostile", "--kills", "10"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("\n") >= 6  # the head, and a line a command
