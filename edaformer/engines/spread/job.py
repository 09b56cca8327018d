"""What is spread: a job that goes to every worker once, and units that go to one of them.

A job is picklable and says what its files are; a worker opens it, reads a unit in a thread ahead of
its turn and works on it in its turn. What comes back is a value, small and exact, which only the
driver keeps: it alone writes files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Moves = Mapping[Path, Path]  # where files lie in a worker that are not where the driver has them


@dataclass(frozen=True)
class Placed:
    """What a worker has of its machine."""

    threads: int  # its share of the cores
    moves: Moves  # filled before what is to be read is asked for


class Opened(Protocol):
    """A job in a worker."""

    def read(self, unit: Any) -> Any:
        """Whatever of a unit can be had before its turn; called from several threads."""

    def work(self, read: Any) -> Any:
        """The value of a unit; one at a time."""

    def close(self) -> None:
        """Give back what it holds."""


class Job(Protocol):
    """Picklable; the same in every worker."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read when it is opened."""

    @property
    def needs_gpu(self) -> bool:
        """Whether a worker has to have one of its own."""

    @property
    def kept(self) -> str:
        """What becomes of finished work when the job stops before its end, for a message."""

    def open(self, placed: Placed) -> Opened:
        """Load it.

        Raises:
            EdaformerError: if this machine cannot do it.
        """

    def unit_files(self, unit: Any) -> tuple[Path, ...]:
        """What is read of a unit."""

    def called(self, unit: Any) -> str:
        """The unit's name, for a message."""
