"""A run's state on file: whole, read as tensors alone, of this run or refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from edaformer.engines.adapt.result import Examined
from edaformer.engines.adapt.state import State, read_state
from edaformer.errors import InputError

BOUND = {"checkpoint": "abc", "--steps": "20"}


def some_state() -> State:
    state = State(dict(BOUND), 20, step=4, seconds=1.5)
    state.add(Examined(0, (0.9, 0.8)), {"w": torch.zeros(2)})
    state.add(Examined(2, (0.95, 0.85)), {"w": torch.ones(2)})
    state.add(Examined(4, (0.94, 0.85)), {"w": torch.full((2,), 2.0)})
    return state


def test_the_best_weights_are_kept_beside_the_last() -> None:
    state = some_state()
    assert state.best_exam.step == 2
    assert state.best["w"].tolist() == [1, 1]
    assert state.student["w"].tolist() == [2, 2]
    assert (state.is_stuck(1), state.is_stuck(2)) == (True, False)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = some_state()
    state.write(tmp_path / "a.pth.adapting")
    read = read_state(tmp_path / "a.pth.adapting", BOUND)
    assert (read.step, read.steps, read.seconds, read.exams) == (4, 20, 1.5, state.exams)
    assert torch.equal(read.best["w"], state.best["w"])
    assert read.best_exam == state.best_exam


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    some_state().write(tmp_path / "state")
    with pytest.raises(InputError, match="begun with another --steps; give the same, or delete"):
        read_state(tmp_path / "state", BOUND | {"--steps": "30"})


class Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('/tmp/called', 'w')",)


@pytest.mark.parametrize("data", [
    b"", b"PK\x03\x04", pickle.dumps({"format": 1, "bound": Calls()}),
    pickle.dumps({"format": 1}), pickle.dumps([1]),
])  # fmt: skip
def test_damage_and_calls_are_refused_and_nothing_runs(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(InputError, match="damaged, or of no run that was cut; delete it"):
        read_state(tmp_path / "state", BOUND)
    assert not Path("/tmp/called").exists()
