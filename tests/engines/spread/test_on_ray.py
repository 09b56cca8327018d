"""A cluster of three of Ray's nodes, whose workers and machines are killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edaformer.engines.spread.on_ray import _connect
from edaformer.errors import InputError
from tests.conftest import ROOT
from tests.engines.spread.cluster_of_three import CASES
from tests.engines.spread.descent import descendants, is_alive


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


DRIVER = """
import sys
from pathlib import Path
from edaformer.engines.spread.spread import Spread
from tests.engines.spread.toy import Toy
if __name__ == "__main__":
    spread = Spread("ray", 2, "local")
    with spread.hired(Toy(Path(sys.argv[1]), seconds=0.3), 999, ahead=1) as hired:
        for _, (_, pid) in hired.over(range(999)):
            print("worker", pid, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Ray's processes are ended by /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_whoever_ends_the_command_ends_its_own_ray(ending: signal.Signals) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, short], cwd=ROOT, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"RAY_TMPDIR": short, "TMPDIR": short, "HOME": short},
        )  # fmt: skip
        assert driver.stdout is not None
        while not driver.stdout.readline().startswith("worker"):
            assert driver.poll() is None
        started = descendants(driver.pid)
        assert len(started) > 4  # workers, raylet, servers
        os.killpg(driver.pid, ending) if ending == signal.SIGINT else driver.send_signal(ending)
        _, said = driver.communicate(timeout=120)
        end = time.monotonic() + 60
        while any(map(is_alive, started)) and time.monotonic() < end:
            time.sleep(0.05)
        assert {started[pid] for pid in started if is_alive(pid)} == set()
        if ending == signal.SIGINT:
            assert "KeyboardInterrupt" in said


def test_an_address_is_one_of_three_kinds() -> None:
    with pytest.raises(InputError, match="expected --ray as auto, local or ray://HOST:10001"):
        _connect(None, "10.0.0.1:6379")
