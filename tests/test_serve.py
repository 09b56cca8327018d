"""``make serve``: what it starts comes back where it is killed, and ends whole at Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edaformer.engines.handover import hand_over_runtime
from edaformer.engines.run.labeller import open_labeller
from edaformer.errors import EdaformerError
from edaformer.export.exporter import ExportResult
from tests.conftest import ROOT
from tools.tritonserver import free_ports, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no Triton: {why_not()}")
pytest.importorskip("tritonclient.http")
PATIENCE = 180.0  # seconds
PROGRAM = """
import sys
from pathlib import Path
from tools import serve

serve.commands = list  # the repository is made
serve.FOLDER, serve.REPOSITORY = Path("."), Path("repository")
serve.PORTS = tuple(map(int, sys.argv[1:]))
sys.exit(serve.main())
"""


def test_killed_and_ended(small_export: ExportResult, tmp_path: Path) -> None:
    hand_over_runtime(small_export.path, tmp_path / "repository" / "street")
    ports = free_ports()
    frame = np.zeros((60, 90, 3), np.uint8)
    labels = open_labeller(small_export.path)(frame)
    served = Path(f"triton://127.0.0.1:{ports[0]}/street")
    serving = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, ports)], cwd=tmp_path, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    with serving:
        try:
            wait_for(ports[0])
            np.testing.assert_array_equal(asked(served, frame), labels)
            (stub,) = stubs(serving.pid)
            os.kill(stub, signal.SIGKILL)
            end = time.monotonic() + PATIENCE
            while stubs(serving.pid) in ([], [stub]):
                assert time.monotonic() < end, "no other stub comes"
                time.sleep(0.1)
            np.testing.assert_array_equal(asked(served, frame), labels)
            left = below(serving.pid)
            serving.send_signal(signal.SIGINT)
            said, _ = serving.communicate(timeout=PATIENCE)
        finally:
            for process in (*below(serving.pid), serving.pid):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    assert serving.returncode == 0
    assert "loading street again" in said
    assert "ended, the server with its stubs" in said
    assert len(left) >= 2
    assert [process for process in left if Path(f"/proc/{process}").exists()] == []


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
            return
        assert time.monotonic() < end, "nobody listens"
        time.sleep(0.1)


def asked(served: Path, frame: np.ndarray) -> np.ndarray:
    """Once it answers."""
    end = time.monotonic() + PATIENCE
    while True:
        with suppress(EdaformerError):
            labeller = open_labeller(served)
            try:
                return labeller(frame)
            finally:
                labeller.close()
        assert time.monotonic() < end, "it does not answer"
        time.sleep(0.1)


def stubs(parent: int) -> list[int]:
    """Those that compute."""
    return [process for process in below(parent) if b"backend_stub" in words(process)]


def words(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def below(parent: int) -> list[int]:
    """The processes that it started, and those that they did."""
    children = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat")
                if parent_of(path) == parent]  # fmt: skip
    return [process for child in children for process in (child, *below(child))]


def parent_of(stat: Path) -> int | None:
    with suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return None
