"""Do all units of a job with a crew, each exactly once, whoever dies meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from edaformer.engines.spread.crew import Crew, Died, Done, Event, Failed, Ready, Refused
from edaformer.engines.spread.facts import Facts, difference
from edaformer.engines.spread.job import Job
from edaformer.engines.spread.ledger import DEATHS, Ledger
from edaformer.errors import DeviceError, EdaformerError, InputError, MissingError, WorkerError

_FALSE_STARTS = 3  # deaths of one worker before it is ready, after which it is not tried again


@dataclass
class Share:
    """What one worker did."""

    host: str
    pid: int
    images: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Seconds are of work; waiting is not counted."""
        return {
            "host": self.host, "pid": self.pid, "images": self.images,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass
class Team:
    """Who is at work, for whoever tells a person."""

    shares: dict[str, Share] = field(default_factory=dict)  # of all that were ever ready
    at_work: set[str] = field(default_factory=set)
    deaths: int = 0

    @property
    def text(self) -> str:
        """``3 workers on 2 machines``."""
        if not self.at_work:
            return "no worker is ready"
        hosts = len({name.rpartition(":")[0] for name in self.at_work})
        died = f", {self.deaths} died" if self.deaths else ""
        on = f" on {hosts} machines" if hosts > 1 else ""
        return f"{len(self.at_work)} worker{'s' * (len(self.at_work) > 1)}{on}{died}"

    def to_json(self) -> list[dict[str, Any]]:
        """Of each worker."""
        return [share.to_json() for share in self.shares.values()]


@dataclass
class Spread:
    """How to spread: processes of this machine, or Ray's actors."""

    kind: Literal["processes", "ray"]
    processes: int | None = None  # None: as many as there is room for
    address: str = "local"  # Ray's
    on_note: Callable[[str], None] = lambda _: None
    team: Team = field(default_factory=Team)

    def __post_init__(self) -> None:
        if self.processes is not None and not 1 <= self.processes <= 10_000:
            raise InputError(f"expected --processes of 1 to 10000, got {self.processes}")

    @contextmanager
    def hired(self, job: Job, units: int, *, ahead: int) -> Iterator[Hired]:
        """Workers that have the job, until the block ends, however it does.

        Args:
            job: what every worker opens.
            units: that there are at most.
            ahead: units that a worker reads before their turn.

        Raises:
            MissingError: without Ray where it is asked for.
        """
        with closing(self._crew(job, units, ahead)) as crew:
            try:
                yield Hired(self, job, crew)
            finally:
                self.team.at_work.clear()

    def _crew(self, job: Job, units: int, ahead: int) -> Crew:
        if self.kind == "ray":
            from edaformer.engines.spread.on_ray import RayCrew

            return RayCrew(job, self.address, self.processes, units, ahead)
        from edaformer.engines.spread.processes import ProcessCrew

        return ProcessCrew(job, min(self.processes or 1, units), ahead)


class Hired:
    """A crew with a job, which may be asked for units many times."""

    def __init__(self, spread: Spread, job: Job, crew: Crew) -> None:
        self._spread, self._job, self._crew = spread, job, crew
        self._team = spread.team
        self._own = Facts.here()
        self._ready: dict[int, Facts] = {}
        self._hardware: Facts | None = None  # of the first worker
        self._false_starts: dict[int, int] = {}
        self._gone: dict[int, Exception] = {}  # workers for good
        self._units: Sequence[Any] = ()
        self._ledger = Ledger.of((), crew.ahead)

    def over(self, units: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Units with their values, as they are done; they are begun in their order.

        Raises:
            EdaformerError: the first failing unit's, by the order of the units.
            WorkerError: if DEATHS workers died of one unit, naming it.
        """
        self._units, self._ledger = units, Ledger.of(range(len(units)), self._crew.ahead)
        self._give()
        while not self._ledger.is_over:
            for event in self._crew.wait():
                if isinstance(event, Done):
                    yield self._done(event)
                else:
                    self._hear(event)
            self._give()
        if self._ledger.failed:
            raise self._ledger.failed[min(self._ledger.failed)]

    def _give(self) -> None:
        for member in self._ready:
            while (number := self._ledger.next_for(member)) is not None:
                self._crew.give(member, number, self._units[number])

    def _done(self, event: Done) -> tuple[Any, Any]:
        self._ledger.done(event.member, event.number)
        share = self._team.shares[self._ready[event.member].name]
        share.images += 1
        share.seconds += event.seconds
        return self._units[event.number], event.value

    def _hear(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._begin(event)
        elif isinstance(event, Failed):
            self._ledger.done(event.member, event.number)
            self._ledger.failed[event.number] = event.error
        elif isinstance(event, Refused):
            self._lose(event.member, event.name, event.error)
        elif isinstance(event, Died):
            self._bury(event.member)

    def _begin(self, event: Ready) -> None:
        facts = event.facts
        differs = difference(self._own.software, facts.software)
        if differs is None and self._hardware is not None:
            differs = difference(self._hardware.hardware, facts.hardware)
        if differs is not None:
            error = MissingError(
                f"it has {differs}: its figures would be others; make it like the rest"
            )
            self._lose(event.member, facts.name, error)
            return
        self._hardware = self._hardware or facts
        self._ready[event.member] = facts
        self._false_starts.pop(event.member, None)
        self._team.shares.setdefault(facts.name, Share(facts.host, facts.pid))
        self._team.at_work.add(facts.name)

    def _lose(self, member: int, name: str, error: Exception) -> None:
        """A worker for good; the last one's reason is the job's."""
        self._crew.dismiss(member)
        self._gone[member] = error
        if len(self._gone) == len(self._crew.members):
            if isinstance(error, MissingError) and name:
                raise MissingError(f"worker {name} is refused, as are all others: {error}")
            raise error
        if not isinstance(error, EdaformerError):
            raise error
        self._spread.on_note(f"worker {name} is refused: {error}")

    def _bury(self, member: int) -> None:
        self._team.deaths += 1
        facts = self._ready.pop(member, None)
        if facts is not None:
            self._team.at_work.discard(facts.name)
            number = self._ledger.died(member)
            if number is not None:
                name = self._job.called(self._units[number])
                raise WorkerError(
                    f"{DEATHS} workers died of {name}; see whether memory sufficed, or take it out "
                    f"of the data; {self._job.kept}"
                )
            return
        self._false_starts[member] = self._false_starts.get(member, 0) + 1
        if self._false_starts[member] >= _FALSE_STARTS:
            error = DeviceError(
                f"a worker died {_FALSE_STARTS} times before it was ready; see whether memory "
                "suffices for so many, or ask for fewer with --processes"
            )
            self._lose(member, f"number {member + 1}", error)
