"""A worker whose figures would be others is refused by name, and the rest do its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.spread.crew import Done, Event, Ready
from edaformer.engines.spread.facts import Facts, difference
from edaformer.engines.spread.spread import Hired, Spread
from edaformer.errors import MissingError
from tests.engines.spread.toy import Toy

OWN = Facts.here()


class Crew:
    """Two workers, who say of themselves what they are told to, and square numbers."""

    def __init__(self, *facts: Facts) -> None:
        self.members, self.ahead = list(range(len(facts))), 0
        self.events: list[Event] = [Ready(member, one) for member, one in enumerate(facts)]
        self.dismissed: list[int] = []

    def give(self, member: int, number: int, unit: Any) -> None:
        self.events.append(Done(member, number, unit * unit, 0.1))

    def dismiss(self, member: int) -> None:
        self.dismissed.append(member)

    def wait(self) -> Sequence[Event]:
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        pass


def work(*facts: Facts) -> tuple[dict[int, int], list[int], list[str]]:
    notes: list[str] = []
    crew = Crew(*facts)
    hired = Hired(Spread("processes", on_note=notes.append), Toy(Path()), crew)
    return dict(hired.over(range(4))), crew.dismissed, notes


def software(name: str) -> Callable[[Facts], Facts]:
    return lambda one: replace(one, software={**one.software, name: "0.0.1"})


def hardware(name: str, said: str) -> Callable[[Facts], Facts]:
    return lambda one: replace(one, hardware={**one.hardware, name: said})


DIFFERENT = {
    "this package": (software("edaformer-deploy"), "edaformer-deploy 0.0.1 where"),
    "PyTorch": (software("torch"), "torch 0.0.1 where"),
    "ONNX Runtime": (software("onnxruntime"), "onnxruntime 0.0.1 where"),
    "TensorRT": (software("tensorrt"), "tensorrt 0.0.1 where"),
    "GPU": (hardware("GPU", "NVIDIA T4"), "GPU NVIDIA T4 where"),
    "CPU": (hardware("CPU", "aarch64, sve"), "CPU aarch64, sve where"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_it_is_refused_by_name(what: str) -> None:
    change, said = DIFFERENT[what]
    other = replace(change(OWN), host="far", pid=17)
    made, dismissed, notes = work(OWN, other)
    assert made == {0: 0, 1: 1, 2: 4, 3: 9}
    assert dismissed == [1]
    assert len(notes) == 1
    assert notes[0].startswith(f"worker far:17 is refused: it has {said}")


def test_hardware_is_held_against_the_first_workers() -> None:
    """The driver may be a laptop."""
    on_gpu = hardware("GPU", "NVIDIA L4")(OWN)
    made, dismissed, notes = work(on_gpu, replace(on_gpu, pid=18))
    assert (len(made), dismissed, notes) == (4, [], [])


def test_where_all_are_refused_it_is_the_jobs_error() -> None:
    other = replace(software("torch")(OWN), host="far", pid=17)
    with pytest.raises(MissingError, match="worker far:17 is refused, as are all others: it has"):
        work(other)


def test_what_is_not_there_differs_too() -> None:
    assert difference({"torch": "2.0"}, {}) == "torch none where 2.0 is expected"
    assert difference({"torch": "2.0"}, {"torch": "2.0", "numpy": "1"}) is None
