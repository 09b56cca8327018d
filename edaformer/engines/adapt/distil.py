"""Self-distillation: the network at base ISR teaches itself at others.

Loss: the Kullback-Leibler divergence of the student's class probabilities from the teacher's, the
mean over all pixels of the logits. Normalisation layers keep their statistics. AdamW (Loshchilov
and Hutter, arXiv 1711.05101), a linear warm-up, half a cosine down to a hundredth; gradients are
clipped. What is examined and kept is the running mean of the student's weights: a student at full
speed is worse than where it is going.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.engines.adapt.lesson import Lesson
from edaformer.families.network import Network
from edaformer.isr import ISR
from edaformer.preprocess import network_input

Trained = Literal["all", "attention"]
_CLIP = 1.0  # norm of all gradients
_DECAY = 0.01  # of weights with more than one dimension
_WARM_UP = 0.05  # of all steps
_LEAST_WARM_UP = 10  # steps: Adam's first are as large as its last, whatever the gradients
_LAST = 0.01  # of the highest rate
_MEMORY = 0.98  # of the mean's weights at a step; while it is young it forgets faster


@dataclass
class Schedule:
    """How many steps, and how fast they learn."""

    steps: int
    rate: float

    def at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = min((step + 1) / max(_LEAST_WARM_UP, _WARM_UP * self.steps), 1.0)
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.rate * warm * (_LAST + (1 - _LAST) * cosine)


class _Attend(nn.Module):
    """Attention without its matrix of scores, the most of what a gradient would have to keep."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, h, N, d), (B, h, M, d), (B, h, M, d) -> (B, h, N, d)."""
        return functional.scaled_dot_product_attention(q, k, v)


class Distiller:
    """A teacher, its student, and the optimiser between them."""

    def __init__(
        self,
        teacher: Network,
        student: Network,
        schedule: Schedule,
        *,
        trained: Trained = "all",
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.teacher = _lean(teacher).to(self.device)
        self.student = _lean(student).to(self.device)
        self.mean = copy.deepcopy(self.student)
        self.schedule = schedule
        self.together = 1 if device == "cpu" else 1 << 16  # pictures that go through at once
        for name, weight in student.named_parameters():
            weight.requires_grad_(trained == "all" or ".attention." in name)
        self.optimiser = torch.optim.AdamW(self._groups(), lr=schedule.rate)

    def _groups(self) -> list[dict[str, Any]]:
        """Decay for matrices and kernels, none for biases and norms."""
        weights = [w for w in self.student.parameters() if w.requires_grad]
        return [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": _DECAY},
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ]

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """All that the next step depends on."""
        return {
            "student": self.student.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: Mapping[str, dict[str, Any]]) -> None:
        """Go on from where another run was."""
        self.student.load_state_dict(state["student"], strict=True)
        self.mean.load_state_dict(state["mean"], strict=True)
        self.optimiser.load_state_dict(state["optimiser"])

    def learn(self, lessons: Sequence[Lesson], step: int) -> float:
        """One step of the optimiser; its loss before it.

        Raises:
            MemoryError: where a single picture is too large.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.at(step)
        loss = self._fitting(lessons)
        nn.utils.clip_grad_norm_(self.student.parameters(), _CLIP)
        self.optimiser.step()
        self._follow(min(_MEMORY, (1 + step) / (10 + step)))
        return loss

    @torch.no_grad()
    def _follow(self, memory: float) -> None:
        student = dict(self.student.named_parameters())
        for name, weight in self.mean.named_parameters():
            weight.lerp_(student[name], 1 - memory)

    def _fitting(self, lessons: Sequence[Lesson]) -> float:
        """Gradients of all lessons, as many at once as memory allows."""
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            try:
                return sum(
                    self._gradients(some, len(some) / len(lessons))
                    for some in _alike(lessons, self.together)
                )
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                self.together = min(self.together, len(lessons)) // 2
                if self.together == 0:
                    raise MemoryError from error

    def _gradients(self, lessons: Sequence[Lesson], share: float) -> float:
        """Of lessons at one ISR; ``share`` of the step's loss is theirs."""
        pictures = np.stack([lesson.picture for lesson in lessons])
        given = network_input(pictures, "tensor", self.teacher.normalisation)
        image = torch.from_numpy(given).to(self.device)
        self.student.set_isr(lessons[0].isr)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            with torch.no_grad():
                wanted = self.teacher(image)
            loss = share * divergence(self.student(image), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


def _lean(model: Network) -> Network:
    for place in model.attention_places():
        for attention in place:
            attention.attend = _Attend()
    return model


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of logits (B, classes, h, w): nats a pixel."""
    return functional.kl_div(
        student.float().log_softmax(1), teacher.float().log_softmax(1),
        reduction="none", log_target=True,
    ).sum(1).mean()  # fmt: skip


def _alike(lessons: Sequence[Lesson], most: int) -> Iterator[Sequence[Lesson]]:
    """Lessons of one ISR together, at most so many."""
    by_isr: dict[ISR, list[Lesson]] = {}
    for lesson in lessons:
        by_isr.setdefault(lesson.isr, []).append(lesson)
    for alike in by_isr.values():
        for at in range(0, len(alike), most):
            yield alike[at : at + most]


def _is_out_of_memory(error: RuntimeError) -> bool:
    """PyTorch has a class for it on a GPU alone."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
