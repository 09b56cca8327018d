"""A run that was cut goes on where it was: what is written at every exam, and read again.

The file is sealed with a hash, so that a changed bit is no other run; what is in it is read as
PyTorch reads untrusted files: tensors, numbers and text alone (``weights_only``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.border import border
from edaformer.engines.adapt.result import Examined
from edaformer.errors import InputError
from edaformer.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

_HEAD = b"edaformer-adapting:1:"  # then 64 hex digits of what follows the line
_SEALED = len(_HEAD) + 64


@dataclass
class State:
    """Where a run is."""

    bound: dict[str, str]  # what the weights depend on, beside the step
    steps: int  # in all
    step: int = 0  # done
    seconds: float = 0.0  # spent on them, in all runs
    learner: dict[str, Any] = field(default_factory=dict)  # Distiller.state
    best: dict[str, Tensor] = field(default_factory=dict)  # the weights of its best exam
    exams: list[Examined] = field(default_factory=list)

    @property
    def best_exam(self) -> Examined:
        """The first of those with the best marks."""
        return max(self.exams, key=lambda exam: exam.mean)

    def add(self, exam: Examined, model: nn.Module) -> None:
        """An exam, and the model that sat it."""
        self.exams.append(exam)
        if self.best_exam is exam:
            self.best = {name: value.cpu().clone() for name, value in model.state_dict().items()}

    def is_stuck(self, patience: int) -> bool:
        """Whether so many exams have gained nothing."""
        return len(self.exams) - 1 - self.exams.index(self.best_exam) >= patience

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        import torch

        exams = [(exam.step, list(exam.agreement)) for exam in self.exams]
        buffer = io.BytesIO()
        torch.save({**vars(self), "exams": exams}, buffer)
        content = buffer.getvalue()
        write_whole(path, _HEAD + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_state(path: Path, bound: Mapping[str, str]) -> State:
    """The state at ``path``.

    Raises:
        InputError: if it is damaged, or of another run.
    """
    import torch

    with damaged(path):
        data = path.read_bytes()
        seal, content = data[:_SEALED], data[_SEALED + 1 :]
        if seal != _HEAD + hashlib.sha256(content).hexdigest().encode():
            raise ValueError("its bytes are not those that were written")
        read = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        exams = [Examined(step, tuple(marks)) for step, marks in read.pop("exams")]
        state = State(**read, exams=exams)
        differing = [name for name, value in bound.items() if state.bound.get(name) != value]
    if differing:
        raise InputError(
            f"{path} was begun with another {differing[0]}; give the same, or delete it and begin "
            "again"
        )
    return state


def damaged(path: Path) -> AbstractContextManager[None]:
    """Around all that believes what was read at ``path``."""
    return border(
        lambda words: InputError(
            f"{path} is damaged, or of no run that was cut ({words}); delete it and begin again"
        )
    )
