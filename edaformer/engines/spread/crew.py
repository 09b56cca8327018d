"""Workers, wherever they are: what they are given, and what is heard of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edaformer.engines.spread.facts import Facts


@dataclass(frozen=True)
class Ready:
    """A worker has opened the job."""

    member: int
    facts: Facts


@dataclass(frozen=True)
class Refused:
    """A worker cannot do the job, and is gone."""

    member: int
    name: str
    error: Exception


@dataclass(frozen=True)
class Done:
    """A unit's value."""

    member: int
    number: int
    value: Any
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A unit that cannot be done anywhere: its error is the job's."""

    member: int
    number: int
    error: Exception


@dataclass(frozen=True)
class Died:
    """A worker is gone, and with it what it had in hand; another comes in its place."""

    member: int


Event = Ready | Refused | Done | Failed | Died


class Crew(Protocol):
    """Some workers, numbered."""

    members: list[int]  # that may work, now or later
    ahead: int  # units that a worker may have in hand beside the one it works on

    def give(self, member: int, number: int, unit: Any) -> None:
        """Hand a unit to a worker that is ready."""

    def dismiss(self, member: int) -> None:
        """End a worker for good."""

    def wait(self) -> Sequence[Event]:
        """What happened since; returns after a second at the latest."""

    def close(self) -> None:
        """End all of them, at once and whatever they do."""
