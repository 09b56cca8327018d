"""One connection to a device, through the system's own ssh: its configuration, keys and agent.

A master (ssh's ControlMaster) is opened once; every remote command is a session in it. Nothing is
asked: BatchMode refuses where ssh would want a password or an unknown host's key confirmed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from edaformer.closing import Closing
from edaformer.errors import InputError, MissingError, RemoteError
from edaformer.printable import in_one_line

LOST = 255  # ssh's own exit code, where the connection is not or no longer there
_UNTIL_WE_END = "cat >/dev/null"  # it reads what nobody writes, and ends with us, however that is
_BEAT = 2.0  # seconds between the desk's signs of life
_PATIENCE = 40.0  # seconds for a connection to come about
_ENDING = 2.0  # seconds that a remote command has to end, once asked
_CHUNK = 1 << 16
_LONGEST = 4096  # bytes of a line of errors; a longer one becomes several
_LINES = 20  # of ssh's own errors that are kept
# A pulled cable is noticed after fifteen seconds; the person's own ssh may forward the ports
_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=5",
            "-o", "ServerAliveCountMax=3", "-o", "ClearAllForwardings=yes")  # fmt: skip
# What ssh says, and what to do about it
_REASONS = (
    (
        r"Could not resolve hostname",
        "no host of that name is known; check the name, or ~/.ssh/config",
    ),
    (
        r"Host key verification failed",
        "its key is not known here, or another than before; connect once by hand and look at it: "
        "ssh {host}",
    ),
    (
        r"Permission denied",
        "it refused every key; put one there, ssh-copy-id {host}, and have it in the agent where "
        "it has a passphrase",
    ),
    (r"Connection refused", "nothing listens there; is sshd running, and is it the right port?"),
    (
        r"timed out|No route to host|Network is unreachable",
        "it does not answer; is it on, and on this network?",
    ),
)


class Channel(Closing):
    """A remote command at work: bytes to it, bytes and lines of errors from it."""

    def __init__(
        self, process: subprocess.Popen[bytes], on_line: Callable[[str], None], *, beats: bool
    ) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.errors: deque[str] = deque(maxlen=_LINES)
        self._on_line, self._over = on_line, threading.Event()
        self._threads = [threading.Thread(target=self._read_errors, daemon=True)]
        if beats:
            self._threads.append(threading.Thread(target=self._beat, daemon=True))
        for thread in self._threads:
            thread.start()

    def send(self, data: bytes) -> bool:
        """Whether it could be sent: who reads may have ended."""
        try:
            self.stdin.write(data)
            self.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def wait(self) -> int:
        """Its exit code, once its output is read."""
        while self.stdout.read(_CHUNK):
            pass
        code = self.process.wait()
        self._over.set()
        for thread in self._threads:
            thread.join()
        return code

    def close(self) -> None:
        """End it: its standard input ends, and there.py ends what it watches."""
        self._over.set()
        with suppress(OSError):
            self.stdin.close()
        try:
            self.process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join()
        self.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while raw := self.process.stderr.readline(_LONGEST):
            line = in_one_line(raw.decode("utf-8", "replace").rstrip())
            self.errors.append(line)
            self._on_line(line)

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            if not self.send(b"\n"):
                return


class Ssh(Closing):
    """A connection, and what may be typed into it."""

    def __init__(self, host: str) -> None:
        self.host = checked_host(host)
        # A socket's path has a hundred characters at most, and a temporary folder may be deep
        self._folder = Path(tempfile.mkdtemp(prefix="eda-", dir=_shallow()))
        self._master: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            MissingError: without ssh.
            RemoteError: if that is not possible, in words.
        """
        if shutil.which("ssh") is None:
            raise MissingError("ssh is not installed here; run: sudo apt install openssh-client")
        command = [*self._ssh(), "-M", "-T", "--", self.host, _UNTIL_WE_END]
        with tempfile.TemporaryFile() as errors:
            self._master = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            end = time.monotonic() + _PATIENCE
            while not self._socket.exists():
                if self._master.poll() is not None or time.monotonic() > end:
                    errors.seek(0)
                    raise RemoteError(self.explain(errors.read().decode("utf-8", "replace")))
                time.sleep(0.02)

    def start(
        self, line: str, on_line: Callable[[str], None] = lambda _: None, *, beats: bool = False
    ) -> Channel:
        """Run a line in the login shell there.

        Args:
            line: quoted as it has to be.
            on_line: hears what it writes to its standard error.
            beats: whether its standard input is a sign of life every two seconds.
        """
        process = subprocess.Popen(
            [*self._ssh(), "-T", "-o", "ControlMaster=no", "--", self.host, line],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        return Channel(process, on_line, beats=beats)

    def explain(self, said: str) -> str:
        """Why there is no connection, and what to do."""
        host = shlex.quote(self.host)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = next((text for pattern, text in _REASONS if re.search(pattern, said)), None)
        why = in_one_line(lines[-1]) if lines else "ssh gave no reason"
        if reason is None:
            return f"no connection to {self.host}: {why}; try it by hand: ssh {host}"
        return f"no connection to {self.host}: {reason.format(host=host)} ({why})"

    def close(self) -> None:
        """Give the connection back."""
        if self._master is not None:
            self._master.terminate()
            try:
                self._master.wait(_ENDING)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
            assert self._master.stdin is not None
            self._master.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _socket(self) -> Path:
        return self._folder / "s"

    def _ssh(self) -> list[str]:
        path = str(self._socket).replace("%", "%%")
        return ["ssh", *_OPTIONS, "-o", f'ControlPath="{path}"',
                "-o", "ControlPersist=no"]  # fmt: skip


def checked_host(host: str) -> str:
    """A host as ssh takes it, which cannot be read as an option.

    Raises:
        InputError: if it is none.
    """
    odd = any(one.isspace() or not one.isprintable() for one in host)
    if not host or host.startswith("-") or odd:
        raise InputError(
            f"expected a host as ssh takes it, such as jetson@orin, got {shlex.quote(host)!s:.80}"
        )
    return host


def quoted(words: Sequence[str]) -> str:
    """Words for the shell there; a leading ~/ is its home."""
    at_home = re.compile(r"~/[\w./-]+")
    return " ".join(word if at_home.fullmatch(word) else shlex.quote(word) for word in words)


def _shallow() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) < 60 else "/tmp"  # noqa: S108  # mkdtemp's own name, mode 0700
