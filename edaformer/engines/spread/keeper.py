"""A process beside a command with a Ray of its own: it ends all of that Ray as soon as it is asked.

Left to itself, Ray takes seconds to end its processes, and of a command that is killed it leaves
agents behind for a minute and longer. The keeper is asked by the end of its standard input, which
the kernel brings about however the command ends. It knows Ray's processes by a mark that they
inherit in their environment, and by their descent: those that write a title for themselves write it
over their environment. It reads Linux's /proc; elsewhere Ray ends in its own time.

Run as a file, without this package, so that it is there at once.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_MARK = "EDAFORMER_KEPT"
_PROC = Path("/proc")
_LOOK = 1.0  # seconds between looks at who is there
_PATIENCE = 5.0  # seconds for a process that the kernel does not let go of
_PARENT, _STARTED = 1, 19  # fields of /proc/PID/stat behind the name


class Keeper:
    """Of whatever is started in its ``marking``."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        line = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), self._mark]
        self._process = subprocess.Popen(  # noqa: S603  # this file
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is of the command alone
        )  # fmt: skip

    @contextmanager
    def marking(self) -> Iterator[None]:
        """What is started here, and whatever that starts, ends with the keeper."""
        os.environ[_MARK] = self._mark
        try:
            yield
        finally:
            del os.environ[_MARK]

    def end_monitors(self) -> None:
        """Kill the Python programs among this process's children: Ray waits a second for each."""
        with suppress(OSError):
            os.write(self._process.stdin.fileno(), b"\n")  # type: ignore[union-attr]  # a pipe
            self._process.stdout.readline()  # type: ignore[union-attr]  # a pipe, too

    def end(self) -> None:
        """Kill all of it; returns when it is gone."""
        self._process.communicate()


@dataclass(frozen=True)
class _Process:
    parent: int
    started: str  # with its number, it is another's no more


@dataclass
class _Family:
    """The marked processes and their descendants, as long as they live."""

    mark: bytes
    known: dict[int, _Process] = field(default_factory=dict)

    def look(self) -> None:
        """See who is there."""
        there = dict(_processes())
        self.known = {
            pid: one
            for pid, one in there.items()
            if _is_same(one, self.known.get(pid)) or _has(pid, self.mark)
        }
        while born := {
            pid: one
            for pid, one in there.items()
            if one.parent in self.known and pid not in self.known
        }:
            self.known |= born

    def kill(self, is_meant: Callable[[int, _Process], bool]) -> None:
        """Until none is seen twice: the second look sees who was just being started."""
        quiet, end = 0, time.monotonic() + _PATIENCE
        while quiet < 2 and time.monotonic() < end:
            self.look()
            found = [pid for pid, one in self.known.items() if is_meant(pid, one)]
            quiet = 0 if found else quiet + 1
            for pid in found:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def main(mark: str) -> None:
    """Wait for what the command asks, or its end."""
    command, family = os.getppid(), _Family(f"{_MARK}={mark}".encode())
    if _wait(family):
        family.kill(lambda pid, one: one.parent == command and _program(pid) == _program("self"))
        os.write(1, b"\n")
        _wait(family)
    family.kill(lambda *_: True)


def _wait(family: _Family) -> bool:
    """Whether something is asked; False: it is over."""
    while not select.select([0], [], [], _LOOK)[0]:
        family.look()
    return bool(os.read(0, 1))


def _processes() -> Iterable[tuple[int, _Process]]:
    """All that live."""
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            said = (folder / "stat").read_text(errors="replace")
            fields = said.rpartition(")")[2].split()
            if fields[0] not in "ZX":
                yield int(folder.name), _Process(int(fields[_PARENT]), fields[_STARTED])


def _is_same(one: _Process, other: _Process | None) -> bool:
    return other is not None and one.started == other.started


def _has(pid: int, mark: bytes) -> bool:
    """Whether this is in the environment that it was started with."""
    try:
        return mark in (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False


def _program(pid: int | str) -> Path | None:
    try:
        return (_PROC / str(pid) / "exe").readlink()
    except OSError:
        return None


if __name__ == "__main__":
    main(sys.argv[1])
