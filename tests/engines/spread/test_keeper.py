"""A keeper ends what was started in its marking, and what that started, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from edaformer.engines.spread.keeper import Keeper
from tests.engines.spread.descent import is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# A process whose child has another environment and another session
PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""
COMMAND = """
import subprocess, sys, time
from edaformer.engines.spread.keeper import Keeper
keeper = Keeper()
with keeper.marking():
    parent = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
print(parent.pid, parent.stdout.readline().decode(), flush=True)
time.sleep(600)
"""


def soon_gone(*pids: int) -> bool:
    end = time.monotonic() + 60
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


def test_it_ends_what_was_marked_and_its_descendants() -> None:
    keeper = Keeper()
    with keeper.marking():
        parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert "EDAFORMER_KEPT" not in os.environ
    other = subprocess.Popen(["sleep", "600"])
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    keeper.end()
    assert soon_gone(parent.pid, child)
    assert is_alive(other.pid)
    other.kill()
    other.wait()
    parent.wait()
    parent.stdout.close()


def test_monitors_are_the_commands_own_python_programs() -> None:
    keeper = Keeper()
    with keeper.marking():
        monitor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        server = subprocess.Popen(["sleep", "600"])
    keeper.end_monitors()
    assert soon_gone(monitor.pid)
    assert is_alive(server.pid)
    keeper.end()
    assert soon_gone(server.pid)
    monitor.wait()
    server.wait()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_it_does_so_however_the_command_ends(ending: signal.Signals) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND, PARENT], stdout=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    kept = [int(pid) for pid in command.stdout.readline().split()]
    command.send_signal(ending)
    command.wait()
    command.stdout.close()
    assert soon_gone(*kept)
