"""A run's state on file: whole, read as tensors alone, of this run or refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from edaformer.engines.adapt.result import Examined
from edaformer.engines.adapt.state import State, read_state
from edaformer.errors import InputError

BOUND = {"checkpoint": "abc", "--steps": "20"}


def some_state() -> State:
    state = State(dict(BOUND), 20, step=4, seconds=1.5)
    model = nn.Linear(2, 1, bias=False)
    for step, marks in ((0, (0.9, 0.8)), (2, (0.95, 0.85)), (4, (0.94, 0.85))):
        nn.init.constant_(model.weight, step)
        state.add(Examined(step, marks), model)
    state.learner = {"student": model.state_dict()}
    return state


def test_the_best_weights_are_kept_beside_the_last() -> None:
    state = some_state()
    assert state.best_exam.step == 2
    assert state.best["weight"].tolist() == [[2, 2]]
    assert state.learner["student"]["weight"].tolist() == [[4, 4]]
    assert (state.is_stuck(1), state.is_stuck(2)) == (True, False)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = some_state()
    state.write(tmp_path / "a.pth.adapting")
    read = read_state(tmp_path / "a.pth.adapting", BOUND)
    assert (read.step, read.steps, read.seconds, read.exams) == (4, 20, 1.5, state.exams)
    assert torch.equal(read.best["weight"], state.best["weight"])
    assert read.best_exam == state.best_exam


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    some_state().write(tmp_path / "state")
    with pytest.raises(InputError, match="begun with another --steps; give the same, or delete"):
        read_state(tmp_path / "state", BOUND | {"--steps": "30"})


def test_one_changed_bit_is_told(tmp_path: Path) -> None:
    some_state().write(tmp_path / "state")
    data = bytearray((tmp_path / "state").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(InputError, match="its bytes are not those that were written"):
        read_state(tmp_path / "state", BOUND)


class Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('/tmp/called', 'w')",)


@pytest.mark.parametrize("data", [
    b"", b"PK\x03\x04", pickle.dumps({"bound": Calls()}), pickle.dumps({}), pickle.dumps([1]),
])  # fmt: skip
@pytest.mark.parametrize("sealed", [False, True])
def test_damage_and_calls_are_refused_and_nothing_runs(
    tmp_path: Path, data: bytes, *, sealed: bool
) -> None:
    if sealed:
        seal = hashlib.sha256(data).hexdigest().encode()
        data = b"edaformer-adapting:1:" + seal + b"\n" + data
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged, or of no run that was cut .*; delete it"):
        read_state(tmp_path / "state", BOUND)
    assert not Path("/tmp/called").exists()
