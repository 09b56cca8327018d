"""What a section is given, and what it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Keep = Callable[..., None]  # facts by name: in the JSON at once, whatever comes afterwards
FAULTS = ("raise", "hang", "abort", "segfault", "exit")


class Skipped(Exception):  # noqa: N818 - it is no error
    """A section or a case that cannot run here; its message says why."""


@dataclass(frozen=True)
class Run:
    """What the sections are given."""

    dry: bool
    deadline: float  # of time.monotonic(), of this section
    end: float  # of the whole run
    plans: Path | None = None
    checkpoint: Path | None = None  # of the trained plan
    data: str | None = None
    faults: tuple[str, ...] = ()  # SECTION=KIND, in a dry run

    @property
    def device(self) -> str:
        """PyTorch's name for it."""
        return "cpu" if self.dry else "cuda"

    def left(self) -> float:
        """Seconds left."""
        return self.deadline - time.monotonic()

    def options(self) -> list[str]:
        """The command line that makes this run again, but for the time."""
        given = {"--plans": self.plans, "--checkpoint": self.checkpoint, "--data": self.data}
        pairs = [(name, str(value)) for name, value in given.items() if value is not None]
        pairs += [("--fault", fault) for fault in self.faults]
        return ["--dry-run"] * self.dry + [part for pair in pairs for part in pair]


@dataclass(frozen=True)
class Section:
    """Work in cases; each is begun only if ``reserve`` seconds are left."""

    name: str
    work: Callable[[Run, str, Keep], None]  # a case, in a process that may die of it
    share: int  # of the time left, beside the later sections' shares
    cases: Callable[[Run], Sequence[str]]  # raises Skipped where there can be none
    reserve: float = 20
    together: bool = False  # one process goes from case to case until one fails
    twice: bool = False  # all cases once more, in processes of their own, if there is time


AGAIN = ", again"  # behind the name of a case that is worked off for the second time


def alone(name: str) -> Callable[[Run], Sequence[str]]:
    """The cases of a section that has but one."""
    return lambda _: (name,)
