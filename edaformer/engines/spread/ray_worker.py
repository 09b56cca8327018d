"""What an actor does: what a process does (worker.py), with the files that Ray brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from edaformer.engines.spread.carried import Carried, Wanting, placed, sweep
from edaformer.engines.spread.crew import Event, Ready, Refused
from edaformer.engines.spread.facts import Facts
from edaformer.engines.spread.job import Placed
from edaformer.engines.spread.worker import Worker
from edaformer.errors import EdaformerError, MissingError


@dataclass(frozen=True)
class Brief:
    """The job, as references into the object store: Ray brings each to a machine once."""

    job: Sequence[Any]  # of one
    files: Sequence[Carried]
    store: Mapping[Path, Any]
    threads: int


class RayWorker:
    """One actor; its calls come in threads, so that it reads ahead."""

    def __init__(self, member: int) -> None:
        self._member, self._moves = member, dict[Path, Path]()
        self._worker: Worker | None = None
        self._opening = Lock()

    def open(self, brief: Brief) -> Event:
        """Load the job."""
        sweep()
        try:
            self._opened(brief)
        except EdaformerError as error:
            return Refused(self._member, Facts.here().name, error)
        return Ready(self._member, Facts.here())

    def do(
        self, brief: Brief, number: int, unit: Any, files: Sequence[Carried],
        store: Mapping[Path, Any],
    ) -> Event | Wanting:  # fmt: skip
        """A unit's value, or that its files are wanting."""
        worker = self._opened(brief)
        with placed(files, store, _fetch, self._moves) as there:
            return worker.do(number, unit) if there else Wanting(number)

    def _opened(self, brief: Brief) -> Worker:
        with self._opening:
            if self._worker is None:
                with placed(brief.files, brief.store, _fetch, self._moves) as there:
                    if not there:
                        raise MissingError("the job's files did not come")
                    where = Placed(brief.threads, self._moves)
                    self._worker = Worker(self._member, _fetch(brief.job[0]), where)
            return self._worker


def _fetch(reference: Any) -> Any:
    import ray

    return ray.get(reference)
