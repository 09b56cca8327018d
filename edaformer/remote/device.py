"""A device at the other end: the questions and errands of ``there.py``, each one remote command.

The commands depend on what is asked for alone, never on what is there, so that a dry run prints
those of the real one: a copy that is there already is told so when its bytes are asked for.
"""

from __future__ import annotations

import errno
import getpass
import hashlib
import os
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edaformer.closing import Closing
from edaformer.errors import MissingError, RemoteError
from edaformer.files import open_whole, sha256
from edaformer.printable import in_one_line
from edaformer.remote import answers, there
from edaformer.remote.answers import Told
from edaformer.remote.facts import Facts
from edaformer.remote.ssh import LOST, Channel, Ssh, quoted

CACHE = "~/.cache/edaformer-device"
_CHUNK = 1 << 18
_NO_PROGRAM = 127  # a shell's exit code
_FULL = os.strerror(errno.ENOSPC)
_MEMORY = (
    "{host} killed it for memory{sure}: run it without a desktop, bound the builder with "
    "--workspace 0.5, or give it swap (docs/jetson.md, Memory)"
)


@dataclass(frozen=True)
class Ran:
    """What one of our commands answered there."""

    code: int
    text: str  # its standard output
    again: bool  # False: an equal run's answer was kept
    memory: str | None  # that the kernel killed it for memory: certain or probable


@dataclass
class Copied:
    """What went over the wire."""

    bytes_there: int = 0
    bytes_back: int = 0


class Device(Closing):
    """A device that is connected, or, dry, one whose commands are only told."""

    def __init__(
        self,
        host: str,
        *,
        python: str | None = None,
        dry: bool = False,
        on_line: Callable[[str], None] = lambda _: None,
        on_command: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Connect.

        Args:
            host: as ssh takes it.
            python: there, that has our package; None looks for one.
            dry: whether commands are told and not run.
            on_line: hears what our commands there say on standard error.
            on_command: hears each remote command.

        Raises:
            RemoteError: if there is no connection, or no python3 there.
        """
        self.host, self.python, self.dry, self.copied = host, python or "-", dry, Copied()
        self._on_line, self._on_command = on_line, on_command
        self._stack = ExitStack()
        self._ssh = Ssh(host)
        self._stack.push(self._ssh)
        try:
            if not dry:
                self._ssh.open()
            self._bring_tool()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """End what is held, and the connection."""
        self._stack.close()

    def ask(self) -> Facts | None:
        """What it has; None of a dry run."""
        told = self._told("ask", self.python)
        return None if self.dry else Facts.of(told)

    def hold(self, *, wait: bool, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Keep other desks away until this is closed.

        Raises:
            RemoteError: naming who is at work there.
        """
        line = self._line("hold", _desk(), "wait" if wait else "no")
        self._on_command(line)
        if self.dry:
            return
        channel = self._stack.enter_context(self._ssh.start(line, beats=True))
        while (told := self._next(channel)) is not None:
            if "held" in told:
                return
            if "busy" in told:
                who = answers.text(told, "busy")
                raise RemoteError(f"{self.host} is in use by {who}; try again later, or --wait")
            on_wait(answers.text(told, "waiting"))
        raise self._lost(channel, channel.wait(), "asking for its lock")

    def put(self, path: Path, digest: str | None = None) -> str:
        """Copy a file's content there, or the rest of it; returns its SHA-256.

        Raises:
            RemoteError: if the connection is lost, or the disk there is full.
        """
        digest, size = digest or sha256(path), path.stat().st_size
        line = self._line("put", digest, str(size))
        self._on_command(line)
        if self.dry:
            return digest
        with self._ssh.start(line) as channel:
            told = self._next(channel)
            if told is not None and "full" in told:
                raise RemoteError(
                    f"{self.host} has {self._megabytes(told, 'full')} free, and {path.name} needs "
                    f"{self._megabytes(told, 'needed')}; make room there: edaformer-device "
                    f"{shlex.quote(self.host)} clear"
                )
            start = size if told is None else answers.count(told, "have", self.host)
            if told is not None and start < size:
                self._stream(channel, path, start)
                told = self._next(channel)
            if told is None:
                raise self._lost(channel, channel.wait(), f"copying {path.name}")
            if told.get("damaged"):
                raise RemoteError(
                    f"{path.name} came to {self.host} as something else; run it again"
                )
            return digest

    def lay(self, folder: str, named: Mapping[str, str]) -> None:
        """Give contents their names in a folder there."""
        self._told("lay", folder, *_pairs(named))

    def run(self, folder: str, words: Sequence[str], *, once: bool = False) -> Ran:
        """One of our commands, in a folder there; it ends when this desk is gone.

        Raises:
            RemoteError: if the connection is lost meanwhile.
        """
        line = self._line("run", folder, "once" if once else "always", self.python, *words)
        self._on_command(line)
        if self.dry:
            return Ran(0, "", again=True, memory=None)
        with self._ssh.start(line, self._on_line, beats=True) as channel:
            told, text = answers.whole_answer(channel.stdout, self.host)
            code = channel.wait()
            if code == LOST or not told:
                raise self._lost(channel, code, f"running edaformer-{words[0]}")
            return Ran(code, text, bool(told.get("again", True)), _memory(told))

    def get(self, folder: str, name: str, target: Path) -> bool:
        """Bring a file back, or nothing where it is here already; False where it is not there.

        What a cut connection brought stays beside the target, and is gone on with.
        """
        line = self._line("get", folder, name)
        self._on_command(line)
        if self.dry:
            return True
        with self._ssh.start(line) as channel:
            told = self._next(channel)
            if told is None:
                raise self._lost(channel, channel.wait(), f"bringing {name} back")
            if told.get("size") is None:
                return False
            size = answers.count(told, "size", self.host)
            digest = answers.digest(told, "sha256", self.host)
            if target.is_file() and target.stat().st_size == size and sha256(target) == digest:
                return True
            self._receive(channel, target, size, digest)
            return True

    def tree(
        self, folder: str, name: str, target: Path, renamed: Callable[[str], str] = str
    ) -> bool:
        """Bring a folder of results back; files that are here are replaced.

        Args:
            folder: there.
            name: of the folder in it.
            target: the folder here.
            renamed: what a file is called here, by its name there.
        """
        line = self._line("tree", folder, name)
        self._on_command(line)
        if self.dry:
            return True
        with self._ssh.start(line) as channel:
            told = self._next(channel)
            if told is None:
                raise self._lost(channel, channel.wait(), f"bringing {name} back")
            if not told.get("there"):
                return False
            while (told := self._next(channel)) is not None and "file" in told:
                self._receive_named(channel, target, told, renamed)
            if told is None:
                raise self._lost(channel, channel.wait(), f"bringing {name} back")
            return True

    def install(
        self, wheel: Mapping[str, str], wheels: Mapping[str, str], extra: str | None,
        others: Sequence[str],
    ) -> bool:  # fmt: skip
        """A wheel, and what it needs, into the environment there; False where pip could not.

        Args:
            wheel: its name and hash.
            wheels: likewise; none: pip there fetches what is needed.
            extra: of it.
            others: further requirements.

        Raises:
            MissingError: if no environment can be made there.
        """
        (own,) = _pairs(wheel)
        words = (own, ",".join(_pairs(wheels)) or "-", extra or "-", *others)
        line = self._line("install", *words)
        self._on_command(line)
        if self.dry:
            return True
        with self._ssh.start(line, self._on_line, beats=True) as channel:
            told = self._next(channel)
            code = channel.wait()
            if told is None:
                raise self._lost(channel, code, "installing")
            if "failed" in told:
                raise MissingError(f"{self.host}: {answers.text(told, 'failed')}")
            return bool(told.get("installed"))

    def trim(self, keep: int) -> None:
        """Keep so many folders there."""
        self._told("trim", str(keep))

    def clear(self) -> int:
        """Empty the cache there; returns the bytes of the files that were in it."""
        told = self._told("clear")
        return 0 if self.dry else answers.count(told, "freed", self.host)

    def _bring_tool(self) -> None:
        """``there.py``, whole under its hash's name."""
        data, name = _tool()
        script = (
            f'set -e; umask 077; d="$HOME/.cache/edaformer-device"; f="$d/{name}"; '
            'if [ -s "$f" ]; then echo here; exit; fi; mkdir -p "$d"; echo send; p="$d/.tool.$$"; '
            f'cat > "$p"; if [ "$(wc -c < "$p")" -eq {len(data)} ]; then mv "$p" "$f"; '
            'else rm "$p"; fi'
        )
        line = quoted(["sh", "-c", script])
        self._on_command(line)
        if self.dry:
            return
        with self._ssh.start(line) as channel:
            said = b""
            while raw := channel.stdout.readline(_CHUNK):
                said = raw.strip()
                if said in {b"here", b"send"}:
                    break
            if said == b"send":
                channel.send(data)
                self.copied.bytes_there += len(data)
            channel.stdin.close()
            code = channel.wait()
            if code:
                raise self._lost(channel, code, "looking around")

    def _told(self, verb: str, *words: str) -> Told:
        """A question with one answer; of a dry run an empty one."""
        line = self._line(verb, *words)
        self._on_command(line)
        if self.dry:
            return {}
        with self._ssh.start(line) as channel:
            told = self._next(channel)
            code = channel.wait()
            if told is None or code:
                raise self._lost(channel, code, f"asked to {verb}")
            return told

    def _line(self, verb: str, *words: str) -> str:
        return quoted(["python3", f"{CACHE}/{_tool()[1]}", verb, *words])

    def _next(self, channel: Channel) -> Told | None:
        """The next answer; None where it ended without."""
        return answers.next_answer(channel.stdout, self.host)

    def _megabytes(self, told: Told, name: str) -> str:
        return f"{answers.count(told, name, self.host) / 1e6:.0f} MB"

    def _stream(self, channel: Channel, path: Path, start: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(_CHUNK):
                if not channel.send(chunk):
                    return
                self.copied.bytes_there += len(chunk)

    def _receive(self, channel: Channel, target: Path, size: int, digest: str) -> None:
        """A file that is gone on with where it was cut the last time."""
        part = target.with_name(f".{digest[:16]}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.is_file() else 0
        start = have if have < size else 0
        answers.check_room(size - start, target.parent, target.name)
        channel.send(f"{start}\n".encode())
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in answers.received(channel.stdout, size - start):
                file.write(chunk)
                self.copied.bytes_back += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if part.stat().st_size < size:
            raise self._lost(channel, channel.wait(), f"bringing {target.name} back")
        if sha256(part) != digest:
            part.unlink()
            raise RemoteError(f"{target.name} came back as something else; run it again")
        part.replace(target)

    def _receive_named(
        self, channel: Channel, target: Path, told: Told, renamed: Callable[[str], str]
    ) -> None:
        """A file of a folder, under a name below the target."""
        path = answers.place(told, "file", self.host)
        size = answers.count(told, "size", self.host)
        digest, came = answers.digest(told, "sha256", self.host), hashlib.sha256()
        target.mkdir(parents=True, exist_ok=True)
        answers.check_room(size, target, path.name)
        with open_whole(target.joinpath(*path.parts[:-1], renamed(path.name))) as file:
            for chunk in answers.received(channel.stdout, size):
                file.write(chunk)
                came.update(chunk)
                size -= len(chunk)
                self.copied.bytes_back += len(chunk)
            if size:
                raise self._lost(channel, channel.wait(), f"bringing {target.name} back")
            if came.hexdigest() != digest:
                raise RemoteError(f"{path.name} came back as something else; run it again")

    def _lost(self, channel: Channel, code: int, doing: str) -> RemoteError:
        said = in_one_line(channel.errors[-1]) if channel.errors else f"exit code {code}"
        if code == _NO_PROGRAM:
            return RemoteError(
                f"{self.host} has no python3, which the commands there need ({said}); install it "
                "there: sudo apt install python3"
            )
        if code == LOST:
            return RemoteError(
                f"the connection to {self.host} was lost while {doing} ({said}); whole files stay "
                "where they are, and the same command goes on from there"
            )
        full = _FULL in said
        room = f"; make room there: edaformer-device {shlex.quote(self.host)} clear" if full else ""
        return RemoteError(f"{self.host} stopped while {doing}: {said}{room}")


def memory_sentence(host: str, certain: str) -> str:
    """What to do where the kernel there killed a command."""
    sure = "" if certain == "certain" else ", as far as it can be told"
    return _MEMORY.format(host=host, sure=sure)


@cache
def _tool() -> tuple[bytes, str]:
    """``there.py`` as it is here, and what it is called there."""
    data = Path(there.__file__).read_bytes()
    return data, f"there-{hashlib.sha256(data).hexdigest()[:12]}.py"


def _memory(told: Told) -> str | None:
    return None if told.get("memory") is None else answers.text(told, "memory")


def _pairs(named: Mapping[str, str]) -> list[str]:
    return [f"{name}={digest}" for name, digest in named.items()]


def _desk() -> str:
    """Who is at work, for other desks."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
