"""A crew of processes on this machine, one connection each.

The standard library's pools break as a whole when one process is killed (BrokenProcessPool), and do
not say what it had in hand; with a connection a process, that is known, and only that one is
replaced. Processes are spawned, never forked: threads and CUDA do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from edaformer.engines.spread.crew import Died, Event
from edaformer.engines.spread.job import Job
from edaformer.engines.spread.worker import Setup, main
from edaformer.machine.threads import threads

_GPUS = Path("/proc/driver/nvidia/gpus")
_PATIENCE = 1.0  # seconds without news


@dataclass(frozen=True)
class _Member:
    process: SpawnProcess
    line: Connection[Any, Any]


class ProcessCrew:
    """Each with its share of the cores, and its own GPU as long as there are enough."""

    def __init__(self, job: Job, count: int, ahead: int) -> None:
        self.members = list(range(count))
        self.ahead = ahead
        self._job = pickle.dumps(job)  # once: what it holds may be large
        self._threads = max(threads() // count, 1)
        self._gpus = gpus()
        self._at_work: dict[int, _Member] = {}
        for member in self.members:
            self._at_work[member] = self._start(member)

    def give(self, member: int, number: int, unit: Any) -> None:
        """Hand over a unit; that a process is dead shows when it is waited for."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._at_work[member].line.send((number, unit))

    def dismiss(self, member: int) -> None:
        """End one for good."""
        if member in self._at_work:
            _end([self._at_work.pop(member)])

    def wait(self) -> Sequence[Event]:
        """What any of them says, or that it is dead."""
        lines = {one.line: member for member, one in self._at_work.items()}
        heard: list[Event] = []
        for line in connection.wait(list(lines), _PATIENCE):
            member = lines[line]  # type: ignore[index]  # it is one of those
            event = self._hear(member)
            if event is None:
                _end([self._at_work[member]])
                self._at_work[member] = self._start(member)
                event = Died(member)
            heard.append(event)
        return heard

    def close(self) -> None:
        """Kill all of them: none holds what is not with the driver."""
        members = list(self._at_work.values())
        self._at_work.clear()
        _end(members)

    def _hear(self, member: int) -> Event | None:
        """None: the process is gone, and left nothing, or half a message."""
        try:
            said: Event = self._at_work[member].line.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return said

    def _start(self, member: int) -> _Member:
        context = multiprocessing.get_context("spawn")
        own, other = context.Pipe()
        gpu = self._gpus[member % len(self._gpus)] if self._gpus else None
        setup = Setup(member, self._threads, self.ahead, gpu)
        process = context.Process(target=main, args=(other, self._job, setup), daemon=True)
        with _without_interrupts():
            process.start()
        other.close()
        return _Member(process, own)


def gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them, or as many as the driver shows."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [one.strip() for one in said.split(",") if one.strip()]
    with suppress(OSError):
        return [str(at) for at, _ in enumerate(_GPUS.iterdir())]
    return []


def _end(members: Sequence[_Member]) -> None:
    for one in members:
        one.process.kill()
    for one in members:
        one.process.join()
        one.process.close()
        one.line.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started here never hears Ctrl-C, which goes to all of a terminal's.

    It is the driver that ends it; and one that is still importing would print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
