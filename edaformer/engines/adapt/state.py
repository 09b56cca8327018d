"""A run that was cut goes on where it was: what is written at every exam, and read again.

Whatever lies there is read as PyTorch reads untrusted files: tensors, numbers and text alone
(``weights_only``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.engines.adapt.result import Examined
from edaformer.errors import InputError
from edaformer.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = 1


@dataclass
class State:
    """Where a run is."""

    bound: dict[str, str]  # what the weights depend on, beside the step
    steps: int  # in all
    step: int = 0  # done
    seconds: float = 0.0  # spent on them, in all runs
    student: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)  # the student's at its best exam
    exams: list[Examined] = field(default_factory=list)

    @property
    def best_exam(self) -> Examined:
        """The first of those with the best marks."""
        return max(self.exams, key=lambda exam: exam.mean)

    def add(self, exam: Examined, student: dict[str, Tensor]) -> None:
        """An exam, and the weights that sat it."""
        self.exams.append(exam)
        self.student = student
        if self.best_exam is exam:
            self.best = student

    def is_stuck(self, patience: int) -> bool:
        """Whether so many exams have gained nothing."""
        return len(self.exams) - 1 - self.exams.index(self.best_exam) >= patience

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        import torch

        exams = [(exam.step, list(exam.agreement)) for exam in self.exams]
        buffer = io.BytesIO()
        torch.save({**vars(self), "exams": exams, "format": _FORMAT}, buffer)
        write_whole(path, buffer.getvalue())


def read_state(path: Path, bound: Mapping[str, str]) -> State:
    """The state at ``path``.

    Raises:
        InputError: if it is damaged, or of another run.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = content.pop("format") == _FORMAT
        exams = [Examined(step, tuple(marks)) for step, marks in content.pop("exams")]
        state = State(**content, exams=exams)
        differing = [name for name, value in bound.items() if state.bound.get(name) != value]
    except Exception as error:  # whatever PyTorch makes of damaged bytes
        raise InputError(
            f"{path} is damaged, or of no run that was cut; delete it and begin again"
        ) from error
    if not known or differing:
        raise InputError(
            f"{path} was begun with another {differing[0] if differing else 'version'}; give the "
            "same, or delete it and begin again"
        )
    return state
