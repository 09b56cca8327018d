"""What a worker does, in whatever process: open the job, read ahead, work on one unit at a time."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from edaformer.engines.spread.crew import Done, Event, Failed, Ready, Refused
from edaformer.engines.spread.facts import Facts
from edaformer.engines.spread.job import Job, Opened, Placed
from edaformer.errors import EdaformerError
from edaformer.machine.threads import share_cores


@dataclass(frozen=True)
class Setup:
    """What a process is told before it loads anything."""

    member: int
    threads: int
    ahead: int
    gpu: str | None  # for CUDA_VISIBLE_DEVICES; None: as it is


class Worker:
    """An opened job, and the order in it: reading side by side, working one by one."""

    def __init__(self, member: int, job: Job, placed: Placed) -> None:
        self._member, self._opened = member, job.open(placed)
        self._turn = Lock()

    def do(self, number: int, unit: Any) -> Event:
        """A unit's value, or why there is none."""
        return perform(self._opened, self._turn, self._member, number, unit)


def perform(opened: Opened, turn: Lock, member: int, number: int, unit: Any) -> Done | Failed:
    """Read a unit, and work on it once it is its turn."""
    try:
        read = opened.read(unit)
        with turn:
            start = time.perf_counter()
            value = opened.work(read)
            return Done(member, number, value, time.perf_counter() - start)
    except EdaformerError as error:
        return Failed(member, number, error)
    except Exception as error:  # noqa: BLE001  # ours: it is told where it came from, and raised
        return Failed(member, number, _told(error))


def main(line: Connection[Any, Any], job: bytes, setup: Setup) -> None:
    """A process's whole life; it ends with its parent, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    share_cores(setup.threads)  # before PyTorch is loaded
    if setup.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setup.gpu
    opened = _opened(line, job, setup)
    if opened is None:
        return
    speaking = Lock()

    def answer(number: int, unit: Any) -> None:
        _say(line, speaking, worker.do(number, unit))

    worker = opened
    with ThreadPoolExecutor(1 + setup.ahead, thread_name_prefix="unit") as pool:
        while True:
            try:
                number, unit = line.recv()
            except (EOFError, OSError):
                os._exit(0)  # the driver is gone; nothing here is worth waiting for
            pool.submit(answer, number, unit)


def _opened(line: Connection[Any, Any], job: bytes, setup: Setup) -> Worker | None:
    moves: dict[Path, Path] = {}  # one machine: all is where it is
    try:
        made = Worker(setup.member, pickle.loads(job), Placed(setup.threads, moves))  # noqa: S301
        facts = Facts.here()
    except EdaformerError as error:
        line.send(Refused(setup.member, Facts.here().name, error))
        return None
    except Exception as error:  # noqa: BLE001  # as above
        line.send(Refused(setup.member, Facts.here().name, _told(error)))
        return None
    line.send(Ready(setup.member, facts))
    return made


def _say(line: Connection[Any, Any], speaking: Lock, event: Event) -> None:
    with speaking:
        try:
            line.send(event)
        except OSError:
            os._exit(0)


def _told(error: Exception) -> RuntimeError:
    """An error of ours, with where it came from: a traceback does not travel."""
    import traceback

    return RuntimeError("".join(traceback.format_exception(error)).rstrip())


def _end_with_parent(end: Callable[[int], object] = os._exit) -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        end(1)
