"""A cluster of three of Ray's nodes, whose workers and machines are killed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edaformer.engines.spread.on_ray import _connect
from edaformer.errors import InputError
from tests.conftest import ROOT
from tests.engines.spread.cluster_of_three import CASES


@pytest.fixture(scope="module")
def said(tiny_export: Path) -> str:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (extra cluster)")
    # Ray's sockets lie below its folder, and a socket's path has 107 bytes at most
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.engines.spread.cluster_of_three", tiny_export],
            cwd=ROOT, text=True, capture_output=True, check=False, timeout=600,
            env=os.environ | {"RAY_TMPDIR": short, "TMPDIR": short},
        )  # fmt: skip
    return ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_in_a_cluster_of_three_nodes(said: str, case: str) -> None:
    assert f"holds: {case}\n" in said, said


def test_an_address_is_one_of_three_kinds() -> None:
    with pytest.raises(InputError, match="expected --ray as auto, local or ray://HOST:10001"):
        _connect(None, "10.0.0.1:6379")
