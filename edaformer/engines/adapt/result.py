"""What an adaptation found: marks before and after, and mIoU where there is truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edaformer.isr import ISR
from edaformer.preprocess import format_size


@dataclass(frozen=True)
class Examined:
    """An exam: how often the student said what its teacher said, at each setting."""

    step: int  # steps done before it
    agreement: tuple[float, ...]  # fractions of all pixels of the held-out frames

    @property
    def mean(self) -> float:
        """Over the settings."""
        return sum(self.agreement) / len(self.agreement)


_EVERY = 10  # steps a line


@dataclass(frozen=True)
class Progress:
    """Where a run is."""

    step: int  # done
    steps: int
    loss: float  # of the last one, nats a pixel
    agreement: float  # at the last exam, mean over the settings
    seconds_left: float

    def tell(self, say: Callable[[str], None]) -> None:
        """In words, every few steps."""
        if self.step % _EVERY == 0 or self.step == self.steps:
            say(
                f"step {self.step} of {self.steps}, loss {self.loss:.4f}, held-out agreement "
                f"{100 * self.agreement:.3f}%, {self.seconds_left:.0f} s left"
            )


@dataclass(frozen=True)
class Judged:
    """mIoU in points, of the checkpoint before and after."""

    isr: ISR
    before: float
    after: float

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class Adaptation:
    """The answer."""

    settings: tuple[ISR, ...]
    learnt_from: int  # frames
    held_out: int
    exams: tuple[Examined, ...]  # the first is of the checkpoint as it came
    best: Examined
    steps: int  # done
    seconds: float  # of them
    picture: tuple[int, int]  # (H, W) that was learnt from
    runs_on: str
    judged: tuple[Judged, ...] = ()
    truth: str | None = None  # the name of the data that judged

    @property
    def gain(self) -> float:
        """Of agreement, the mean over the settings: a fraction."""
        return self.best.mean - self.exams[0].mean

    @property
    def verdict(self) -> str:
        """One sentence."""
        before, after = 100 * self.exams[0].mean, 100 * self.best.mean
        if self.gain <= 0:
            return (
                f"nothing is gained: labels agree with base on {before:.3f}% of the held-out "
                f"pixels as they are, and after {self.steps} steps on no more"
            )
        return (
            f"labels agree with base on {after:.3f}% of the held-out pixels, {before:.3f}% before"
        )

    def with_truth(self, truth: str, judged: tuple[Judged, ...]) -> Adaptation:
        """With mIoU."""
        return replace(self, truth=truth, judged=judged)

    def to_json(self) -> dict[str, Any]:
        """Agreement as fractions, mIoU in points, times in seconds."""
        return {
            "isr": [str(isr) for isr in self.settings],
            "learnt_from": self.learnt_from,
            "held_out": self.held_out,
            "agreement_before": list(self.exams[0].agreement),
            "agreement_after": list(self.best.agreement),
            "gain": self.gain,
            "best_step": self.best.step,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "picture": format_size(self.picture),
            "runs_on": self.runs_on,
            "exams": [
                {"step": exam.step, "agreement": list(exam.agreement)} for exam in self.exams
            ],
            "truth": self.truth,
            "miou": [
                {"isr": str(one.isr), "before": one.before, "after": one.after}
                for one in self.judged
            ],
        }
