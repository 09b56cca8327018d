"""A process of its own: how it is started, watched and ended, and what it does inside.

It works cases off and writes a line of JSON for each thing it knows: {"begin": case},
{"facts": {...}}, {"end": "done" | "skipped" | "failed", "reason": ...}. A file and no pipe: it is
there, whole lines of it, whatever becomes of the writer, and no process it started holds it open.
After a case that failed it ends, since a CUDA context may be of no use any more.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import site
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from on_gpu.run import AGAIN, Skipped

if TYPE_CHECKING:
    from on_gpu.run import Run, Section

SCRIPT = Path(__file__).parents[1] / "gpu.py"
_POLL = 0.05  # seconds
_KILL = 10.0  # seconds that a killed process has to go: one that the driver holds never does
_LINES = 8  # of a dead process's last words in the reason
_KEPT = 60  # of them in the JSON
_DUMP = "Fatal Python error"  # how faulthandler's account of a native end opens


# --- outside ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a worker writes: everything, caches of libraries included, lies in ``folder``."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """HOME and every cache that is known inside; a user's packages stay where they are."""
        cache = self.folder / "cache"
        own = {
            "HOME": self.folder / "home", "TMPDIR": self.folder / "tmp",
            "XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": cache / "inductor",
            "TRITON_CACHE_DIR": cache / "triton", "CUDA_CACHE_PATH": cache / "cuda",
        }  # fmt: skip
        for path in own.values():
            path.mkdir(parents=True, exist_ok=True)
        found = {"OMP_WAIT_POLICY": "passive", **os.environ, "ORT_DISABLE_TELEMETRY": "1",
                 "PYTHONDONTWRITEBYTECODE": "1",
                 "PYTHONUSERBASE": site.getuserbase()}  # fmt: skip
        return found | {name: str(path) for name, path in own.items()}

    def new(self, name: str, suffix: str) -> Path:
        """A file that was not there, such as logs/kernels-2.log."""
        folder = self.folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        numbers = iter(range(1, 1 << 30))
        return next(p for n in numbers if not (p := folder / f"{name}-{n}{suffix}").exists())


@dataclass(frozen=True)
class Ended:
    """How a process went."""

    reason: str | None  # None: on its own, with exit code 0
    log: str

    @property
    def words(self) -> str:
        """The reason, with what it said last; Python's account of a native end is in ``said``."""
        lines = _lines_of(self.log.partition(_DUMP)[0])[-_LINES:]
        how = self.reason or "its process ended before the case did"
        return f"{how}; it said last: {' | '.join(lines) or 'nothing'}"

    @property
    def said(self) -> list[str]:
        """The last lines of all."""
        return _lines_of(self.log)[-_KEPT:]


def _lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def watch(
    run: Run,
    section: Section,
    cases: list[str],
    place: Place,
    *,
    hear: Callable[[dict[str, Any]], None],
    limit: Callable[[], float],
) -> Ended:
    """Let a worker work ``cases`` off; ``hear`` gets every line, ``limit`` gives a case's seconds.

    Whatever it has started ends with it.
    """
    stream, log = place.new(section.name, ".jsonl"), place.new(section.name, ".log")
    stream.touch()
    command = [sys.executable, str(SCRIPT), *run.options(), "--budget", str(max(run.left(), 1)),
               "--worker", section.name, "--stream", str(stream), "--cases", *cases]  # fmt: skip
    with log.open("wb") as said, stream.open("rb") as lines:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
            env=place.environment(),
        )  # fmt: skip
        heard = _Lines(lines.read)
        try:
            reason = _follow(child, heard, hear, limit)
        finally:
            gone = _end(child)
    for line in heard.rest(stream):
        hear(line)
    if not gone:
        reason = f"{reason}, but does not go: the driver holds it"
    return Ended(reason, log.read_text(errors="replace"))


def _follow(
    child: subprocess.Popen[bytes],
    heard: _Lines,
    hear: Callable[[dict[str, Any]], None],
    limit: Callable[[], float],
) -> str | None:
    seconds = limit()
    deadline = time.monotonic() + seconds
    begun = False
    while (code := child.poll()) is None:
        for line in heard:
            if "begin" in line and begun:
                seconds = limit()
                deadline = time.monotonic() + seconds
            begun = begun or "begin" in line
            hear(line)
        if time.monotonic() >= deadline:
            return f"took longer than its {seconds:.0f} s and was killed"
        time.sleep(_POLL)
    if code == 0:
        return None
    how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return f"its process {how}"


class _Lines:
    """The whole lines that have come since the last look; what is not JSON is passed over."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read, self._held, self._seen = read, b"", 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        *whole, self._held = (self._held + self._read()).split(b"\n")
        self._seen += sum(len(line) + 1 for line in whole)
        yield from _parsed(whole)

    def rest(self, stream: Path) -> Iterator[dict[str, Any]]:
        """Those that nobody looked at before the end; half a line is nothing."""
        *whole, _ = stream.read_bytes()[self._seen :].split(b"\n")
        yield from _parsed(whole)


def _parsed(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _end(child: subprocess.Popen[bytes]) -> bool:
    """Kill the worker and whatever of its session is left; whether it went."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        child.wait(_KILL)
    except subprocess.TimeoutExpired:
        return False
    return True


# --- inside -------------------------------------------------------------------------------------


def work_off(run: Run, section: Section, cases: list[str], stream: Path) -> int:
    """What a worker does; the exit code."""
    faulthandler.enable()
    if run.dry:
        os.environ["OMP_NUM_THREADS"] = "1"  # tiny sizes: more threads wait for each other
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("edaformer.machine.backend").setLevel(logging.DEBUG)  # TensorRT's own log
    with stream.open("ab", buffering=0) as out:

        def tell(**line: Any) -> None:
            out.write(json.dumps(line).encode() + b"\n")  # one write: whole or not at all

        for case in cases:
            tell(begin=case)
            if not _work(run, section, case, tell):
                return 0
    return 0


def _work(run: Run, section: Section, case: str, tell: Callable[..., None]) -> bool:
    """One case; whether this process is good for another."""
    try:
        if run.left() < section.reserve and not run.dry:
            raise Skipped(f"{run.left():.0f} s were left, and it may take {section.reserve:.0f} s")  # noqa: TRY301
        _break(run, section)
        section.work(run, case.removesuffix(AGAIN), partial(_keep, tell))
    except Skipped as reason:
        tell(end="skipped", reason=str(reason))
    except ModuleNotFoundError as error:
        tell(end="skipped", reason=f"the package {error.name} is not installed")
    except Exception as error:  # noqa: BLE001 - one case must not cost the others
        traceback.print_exc()
        tell(end="failed", reason=f"{type(error).__name__}: {error}")
        return False
    else:
        tell(end="done")
    return True


def _keep(tell: Callable[..., None], **facts: Any) -> None:
    tell(facts=facts)


def _break(run: Run, section: Section) -> None:
    """The fault that a dry run was asked for."""
    for name, kind in (fault.split("=") for fault in run.faults):
        if name != section.name:
            continue
        print(f"{name} was to {kind}", file=sys.stderr, flush=True)
        if kind == "raise":
            raise RuntimeError("it was to raise")
        if kind == "hang":
            signal.pause()
        if kind == "abort":
            os.abort()
        if kind == "segfault":
            faulthandler._sigsegv()  # type: ignore[attr-defined]  # noqa: SLF001
        os._exit(7)
