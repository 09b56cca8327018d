"""A device of their own for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.sshd import Sshd, sshd


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, as a socket's has to be."""
    folder = Path(tempfile.mkdtemp(prefix="eda-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def orin(short: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """It listens, and the desk's ssh knows it by that name."""
    with sshd(short) as made:
        monkeypatch.setenv("PATH", made.path)
        yield made
