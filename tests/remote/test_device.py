"""Through a real sshd: copies, the lock, cut connections, and what is left there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edaformer.errors import RemoteError
from edaformer.remote.device import Device
from edaformer.remote.jobs import Building, build_job, check_job, load
from edaformer.remote.there import MARK
from tests.remote.sshd import NAME, Sshd, children

CUTS = 30
PLAN = b"plan" * (2 << 20)  # 8 MB: a cut may fall into its way back
# Stands where our package would: a build that takes a while and writes its plan whole
BUILDS = """
sleep 0.3
head -c {size} /dev/zero | tr '\\0' p > .part && mv .part model.plan
echo '{{"path": "model.plan"}}'
"""


def install_fake(device: Sshd, script: str) -> str:
    """A Python there that has our package."""
    probe = json.dumps({"version": "0.1.0", "python": "3.10.12", "packages": {}})
    path = device.home / "fake"
    path.write_text(f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{probe}'; exit; fi\n{script}\n")
    path.chmod(0o755)
    return "~/fake"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Something to copy, that does not compress."""
    path = tmp_path / "$(touch pwned).onnx"
    path.write_bytes(random.Random(0).randbytes(12 << 20))
    return path


def test_a_second_copy_is_none(orin: Sshd, model: Path) -> None:
    first = load([(model, "onnx")], {})
    for expected in (True, False):
        with Device(NAME) as device:
            before = device.copied.bytes_there
            first.carry(device)
            assert (device.copied.bytes_there - before == 12 << 20) == expected
    there = orin.cache / first.folder / "model.onnx"
    assert there.read_bytes() == model.read_bytes()
    assert sorted(path.name for path in orin.home.iterdir()) == [".cache"]


def test_what_a_login_shell_prints_is_passed_over(orin: Sshd, model: Path) -> None:
    told = f"{MARK}[1]"
    (orin.home / ".bashrc").write_text(f"echo welcome; echo '{told}' >&2\n")
    with Device(NAME) as device:
        assert device.ask() is not None
        load([(model, "onnx")], {}).carry(device)


def test_another_desk_is_named(orin: Sshd) -> None:
    with Device(NAME) as first, Device(NAME) as second:
        first.hold(wait=False)
        with pytest.raises(RemoteError, match=r"orin is in use by .*@.*, since .*--wait"):
            second.hold(wait=False)
        told: list[str] = []

        def tell(who: str) -> None:
            told.append(who)
            first.close()

        second.hold(wait=True, on_wait=tell)
        assert len(told) == 1


def test_a_dry_run_connects_to_nobody(model: Path) -> None:
    told: list[str] = []
    with Device("nobody.invalid", dry=True, on_command=told.append) as device:
        device.hold(wait=False)
        made = load([(model, "onnx")], {})
        made.carry(device)
        assert build_job("model.onnx", Building()).run(device, made.folder, model.parent).code == 0
    assert len(told) == 8
    assert "touch" not in "".join(told)


def test_ctrl_c_leaves_nothing_there(orin: Sshd, tmp_path: Path) -> None:
    python = install_fake(orin, 'trap "" INT TERM; sleep 300 & sleep 300; sleep 300')

    def press() -> None:
        _wait_until(lambda: any("sleep 300" in line for line in orin.running()))
        os.kill(os.getpid(), signal.SIGINT)

    def work() -> None:
        with Device(NAME, python=python) as device:
            device.hold(wait=False)
            device.lay("folder", {})
            threading.Thread(target=press, daemon=True).start()
            check_job("model.onnx").run(device, "folder", tmp_path)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert orin.left() == []


def test_a_killed_desk_leaves_no_connection(orin: Sshd) -> None:
    code = (
        "import time; from edaformer.remote.device import Device\n"
        f"with Device({NAME!r}) as device:\n"
        "    print(device.ask() is not None, flush=True)\n"
        "    time.sleep(900)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as desk:
        assert desk.stdout is not None
        assert desk.stdout.readline() == "True\n"
        assert orin.running() != []
        desk.kill()
    assert orin.left() == []
    _wait_until(lambda: orin.sessions() == [])


def test_what_the_kernel_killed_is_told(orin: Sshd, tmp_path: Path) -> None:
    python = install_fake(orin, "kill -9 $$")
    with Device(NAME, python=python) as device:
        device.lay("folder", {})
        ran = check_job("model.onnx").run(device, "folder", tmp_path)
    assert ran.code == 137
    assert ran.memory in {"certain", "probable"}


@pytest.mark.slow
def test_cut_at_any_moment_it_goes_on(orin: Sshd, model: Path, tmp_path: Path) -> None:
    """The connection's process there is killed, thirty times, and then left in peace."""
    python = install_fake(orin, BUILDS.format(size=len(PLAN)))
    dice, out = random.Random(1), tmp_path / "out"
    done = 0
    for _ in range(CUTS):
        timer = threading.Timer(dice.uniform(0.05, 1.6), lambda: _cut(orin))
        timer.start()
        try:
            _deploy(model, out, python)
            done += 1
        except RemoteError:
            pass
        timer.join()
        assert orin.left() == []
        _check_whole(orin, out)
    assert done < CUTS  # not every cut came too late
    _deploy(model, out, python)
    assert (out / "model.plan").read_bytes() == b"p" * len(PLAN)
    assert [path.name for path in out.iterdir()] == ["model.plan"]
    assert not list((orin.cache / "files").glob("*.part"))
    assert orin.left() == []


def _deploy(model: Path, out: Path, python: str) -> None:
    made = load([(model, "onnx")], {})
    with Device(NAME, python=python) as device:
        device.hold(wait=True)
        made.carry(device)
        ran = build_job("model.onnx", Building(again=True)).run(device, made.folder, out)
        assert ran.code == 0


def _cut(device: Sshd) -> None:
    for session in device.sessions():
        below = [one for one in children(session) if _name(one).startswith("sshd")]
        for one in (session, *below):
            with suppress(ProcessLookupError):  # it ended by itself
                os.kill(one, signal.SIGKILL)


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except OSError:
        return ""


def _check_whole(device: Sshd, out: Path) -> None:
    """Whatever has a name is all of it."""
    for path in (device.cache / "files").glob("*"):
        if path.suffix != ".part":
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    for path in out.glob("model*"):
        assert path.read_bytes() == b"p" * len(PLAN)


def _wait_until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
