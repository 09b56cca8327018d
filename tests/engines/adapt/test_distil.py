"""Self-distillation: the loss, what learns and what stays, and memory that runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edaformer.engines.adapt.distil import Distiller, Schedule, divergence
from edaformer.engines.adapt.lesson import Lesson
from edaformer.export.verify import natural_noise
from edaformer.isr import BASE, ISR, PAPER
from tests.tiny import tiny_model

SIZE = (64, 96)
ISR_ = ISR.parse("16,8,4,2-1,2,4")


def lessons(*settings: ISR) -> list[Lesson]:
    pictures = natural_noise(len(settings), SIZE)
    return [Lesson(picture, isr) for picture, isr in zip(pictures, settings, strict=True)]


def distiller(rate: float = 1e-4, **more: str) -> Distiller:
    return Distiller(tiny_model("base"), tiny_model("base"), Schedule(20, rate), **more)  # type: ignore[arg-type]


def test_the_loss_is_the_divergence_from_the_teacher() -> None:
    student, teacher = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64)
    p = teacher.softmax(1)
    expected = (p * (p.log() - student.softmax(1).log())).sum(1).mean()
    assert float(divergence(student, teacher)) == pytest.approx(float(expected), rel=1e-5)
    assert float(divergence(teacher, teacher)) == 0


def test_it_goes_down_and_the_teacher_stays() -> None:
    one = distiller()
    before = {name: value.clone() for name, value in one.teacher.state_dict().items()}
    losses = [one.learn(lessons(ISR_, ISR_), step) for step in range(20)]
    assert losses[-1] < 0.3 * losses[0]
    assert all(torch.equal(before[name], value) for name, value in one.teacher.state_dict().items())


def test_at_base_there_is_nothing_to_learn() -> None:
    assert distiller().learn(lessons(BASE), 0) == pytest.approx(0, abs=1e-9)


def test_a_step_of_several_settings_is_the_mean_of_them() -> None:
    together = distiller().learn(lessons(PAPER, ISR_), 0)
    pictures = lessons(PAPER, ISR_)
    alone = [distiller().learn([one], 0) for one in pictures]
    assert together == pytest.approx(np.mean(alone), rel=1e-5)


@pytest.mark.parametrize(("trained", "moving"), [("all", {""}), ("attention", {".attention."})])
def test_what_is_trained_moves_and_nothing_else(trained: str, moving: set[str]) -> None:
    one = distiller(trained=trained)
    before = {name: value.clone() for name, value in one.student.state_dict().items()}
    one.learn(lessons(ISR_), 0)
    for name, value in one.student.state_dict().items():
        moved = not torch.equal(before[name], value)
        parameter = name in dict(one.student.named_parameters())
        meant = parameter and any(part in name for part in moving)
        # a key's bias moves every score of a query alike, which softmax does not see
        assert moved == meant or (meant and name.endswith("bias")), name


def test_normalisation_keeps_its_statistics() -> None:
    one = distiller()
    one.learn(lessons(ISR_), 0)
    before, after = one.teacher.state_dict(), one.student.state_dict()
    statistics = [name for name in after if "running" in name]
    assert statistics
    assert all(torch.equal(after[name], before[name]) for name in statistics)


def test_what_is_kept_is_the_running_mean_of_the_student() -> None:
    one = distiller()
    expected = one.student.decoder.classify.weight.detach().clone()
    for step in range(3):
        one.learn(lessons(ISR_), step)
        memory = (1 + step) / (10 + step)
        expected = memory * expected + (1 - memory) * one.student.decoder.classify.weight.detach()
    assert torch.allclose(one.mean.decoder.classify.weight, expected, rtol=0, atol=1e-7)


def test_attention_without_its_scores_is_the_same_attention() -> None:
    from edaformer.engines.adapt.distil import _Attend
    from edaformer.families.attention import DotProductAttention

    q, k, v = (torch.randn(2, 3, n, 8, dtype=torch.float64) for n in (20, 6, 6))
    expected = DotProductAttention()(q, k, v)
    assert functional.l1_loss(_Attend()(q, k, v), expected) < 1e-12


def test_memory_that_runs_out_halves_what_goes_through_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []
    one = distiller()
    one.together = 4
    gradients = one._gradients

    def short(some: list[Lesson], share: float) -> float:
        tried.append(len(some))
        if len(some) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return gradients(some, share)

    monkeypatch.setattr(one, "_gradients", short)
    loss = one.learn(lessons(ISR_, ISR_, ISR_, ISR_), 0)
    assert tried == [4, 2, 1, 1, 1, 1]
    monkeypatch.undo()
    whole = distiller()
    whole.together = 4
    assert loss == pytest.approx(whole.learn(lessons(ISR_, ISR_, ISR_, ISR_), 0), rel=1e-4)


def test_one_picture_that_is_too_large_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = distiller()

    def none(*_: object) -> float:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(one, "_gradients", none)
    with pytest.raises(MemoryError):
        one.learn(lessons(ISR_), 0)


def test_the_rate_warms_up_and_ends_low() -> None:
    schedule = Schedule(200, 1e-4)
    rates = [schedule.at(step) for step in range(200)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) < 1e-4
    assert rates.index(max(rates)) == 9
    assert rates[-1] < 2e-6
