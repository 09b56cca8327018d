"""A real sshd on the loopback address: its own keys, its own home, ended with the test.

Skipped by name where Debian's openssh-server is not installed. The "device" is this machine in
another home, whose path has spaces; Python there is this one, with this checkout.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAME = "orin"  # in the desk's ssh configuration
PATIENCE = 300.0  # seconds; a machine may be busy
_TRIES = 5  # ports
# OpenSSH 9.8 and newer keep away whose sessions die, as these do
_FORGIVING = "PerSourcePenalties=no"


@dataclass(frozen=True)
class Sshd:
    """It, and the desk's side of it."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path  # there
    path: str  # PATH at the desk: an ssh that reads the test's configuration

    @property
    def cache(self) -> Path:
        """What edaformer-device has there."""
        return self.home / ".cache" / "edaformer-device"

    def sessions(self) -> list[int]:
        """Its children: one a connection."""
        return children(self.process.pid)

    def left(self) -> list[str]:
        """Command lines that go on running in its home."""
        end = time.monotonic() + PATIENCE
        while (found := self.running()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def running(self) -> list[str]:
        """Command lines that run in its home at this moment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if f"HOME={self.home}".encode() in environment and line:
                    found.append(line)
        return found


def children(parent: int) -> list[int]:
    """Process ids; none of a process that has ended."""
    try:
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


@contextmanager
def sshd(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Sshd]:
    """Start one.

    Args:
        folder: a short path: everything of it lies there.
        environment: of its sessions, beside HOME, PATH and PYTHONPATH.
    """
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh (Debian: openssh-server, openssh-client)")
    keys, home = folder / "keys", folder / "a home of its own"
    keys.mkdir(parents=True)
    home.mkdir()
    for name in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name)
    shutil.copy(keys / "user.pub", keys / "authorized")
    there = {
        "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"), **(environment or {}),
    }  # fmt: skip
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation wants it
    process, port = _listening(program, keys, there)
    try:
        yield Sshd(process, port, home, _desk(folder, keys, port))
    finally:
        for session in children(process.pid):
            for one in (*children(session), session):
                with suppress(ProcessLookupError):  # it ended by itself
                    os.kill(one, signal.SIGKILL)
        process.terminate()
        process.wait(PATIENCE)


def _desk(folder: Path, keys: Path, port: int) -> str:
    """An ssh that takes the test's configuration for the user's; its folder, before the others."""
    public = (keys / "host.pub").read_text().split()
    (keys / "known").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    host = [
        f"Host {NAME}", "HostName 127.0.0.1", f"Port {port}", f"User {getpass.getuser()}",
        f"IdentityFile {keys / 'user'}", "IdentitiesOnly yes",
        f"UserKnownHostsFile {keys / 'known'}",
    ]  # fmt: skip
    jump = [f"Host far-{NAME}", f"ProxyJump {NAME}", *host[1:]]
    config = keys / "ssh_config"
    config.write_text("\n".join([*host, *jump, ""]))
    real, bin_ = shutil.which("ssh"), folder / "bin"
    bin_.mkdir()
    (bin_ / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    (bin_ / "ssh").chmod(0o755)
    return f"{bin_}:{os.environ['PATH']}"


def free_port() -> int:
    """Of the loopback address, at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _listening(
    program: str, keys: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """A server, and its port: another one where somebody was quicker to take it."""
    log = keys / "log"
    for _ in range(_TRIES):
        port = free_port()
        config = keys / "sshd_config"
        config.write_text(_config(keys, port, environment))
        forgiving = [program, "-f", config, "-o", _FORGIVING]
        knows = subprocess.run([*forgiving, "-t"], capture_output=True, check=False).returncode == 0
        command = [*(forgiving if knows else forgiving[:3]), "-D", "-E", log]
        process = subprocess.Popen(command)
        if _listens(process, port):
            return process, port
        process.kill()
        process.wait()
    raise AssertionError(log.read_text())


def _config(keys: Path, port: int, environment: Mapping[str, str]) -> str:
    lines = [
        "ListenAddress 127.0.0.1", f"Port {port}", f"HostKey {keys / 'host'}",
        f"AuthorizedKeysFile {keys / 'authorized'}", f"PidFile {keys / 'pid'}", "StrictModes no",
        "UsePAM no", "PasswordAuthentication no", "PrintMotd no",
        "SetEnv " + " ".join(f'"{name}={value}"' for name, value in environment.items()),
    ]  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """False where it has ended, or does not begin to."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return process.poll() is None  # else somebody else does
        time.sleep(0.05)
    return False


def _run(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
