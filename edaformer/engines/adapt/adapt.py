"""Adapt a checkpoint to the ISR it will run at, from unlabelled frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from edaformer.data import Dataset
from edaformer.engines.adapt.distil import Distiller, Schedule, Trained
from edaformer.engines.adapt.exam import Exam
from edaformer.engines.adapt.frames import Frames
from edaformer.engines.adapt.judge import Judge
from edaformer.engines.adapt.lesson import Draw, Lesson
from edaformer.engines.adapt.result import Adaptation, Examined, Progress
from edaformer.engines.adapt.state import State, damaged, read_state
from edaformer.engines.validate.answers import check_classes
from edaformer.errors import GateError, InputError, MissingError
from edaformer.families.adapted import Adapted
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.settings import reference_settings
from edaformer.families.table import save_adapted
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, format_size
from edaformer.version import __version__

STEPS = 600
UNFINISHED = ".adapting"  # of the file beside the checkpoint, while it is not there yet
_EXAMS = 10  # in a run
_PATIENCE = 5  # exams without a gain, after which a run ends
_TIMED = 4  # steps by which minutes become steps
_LARGEST_CROP = {"cpu": 512, "cuda": 1024}  # pixels of a side


@dataclass(frozen=True)
class AdaptOptions:
    """How to learn. Steps are the measure; minutes become steps where they are given."""

    size: tuple[int, int]  # (H, W), valid pixels, that it will be deployed at
    steps: int = STEPS
    minutes: float | None = None
    batch: int = 2  # pictures a step
    rate: float = 1e-4  # the highest learning rate
    crop: tuple[int, int] | None = None  # (H, W) of a picture; None: size, as far as memory allows
    trained: Trained = "all"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("--steps", self.steps, 1, 1_000_000), ("--batch", self.batch, 1, 1024),
            ("--rate", self.rate, 1e-8, 1.0), ("--seed", self.seed, 0, 1 << 32),
            ("--minutes", self.minutes, 0.01, 100_000),
        ):  # fmt: skip
            if value is not None and not least <= value <= most:
                raise InputError(f"expected {name} from {least:g} to {most:g}, got {value:g}")
        if self.crop is not None and any(side % ALIGN for side in self.crop):
            raise InputError(
                f"expected --crop in multiples of {ALIGN}, got {format_size(self.crop)}; use "
                f"{format_size(aligned(self.crop, ALIGN))}"
            )

    @property
    def runs_on(self) -> str:
        """``cpu`` or ``cuda``.

        Raises:
            MissingError: for a GPU that PyTorch does not see.
        """
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cuda" and not torch.cuda.is_available():
            raise MissingError("PyTorch sees no GPU on this machine; leave --device out")
        return self.device

    @property
    def picture(self) -> tuple[int, int]:
        """(H, W) of what is learnt from: the padded deployed size, within bounds."""
        if self.crop is not None:
            return self.crop
        height, width = aligned(self.size, ALIGN)
        most = _LARGEST_CROP[self.runs_on]
        return min(height, most), min(width, most)


def adapt(
    checkpoint: Checkpoint,
    settings: Sequence[ISR],
    frames: Frames,
    options: AdaptOptions,
    out: Path,
    *,
    truth: Dataset | None = None,
    resume: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Adaptation:
    """Teach ``checkpoint`` at ``settings`` what it says at base, and write it if that gains.

    Args:
        checkpoint: as loaded: teacher, at its base ISR, and the student's beginning.
        settings: ISRs to learn; base among them keeps base.
        frames: to learn from and to be examined on.
        options: how.
        out: the adapted checkpoint's path; of the input's format. While the run is unfinished,
            ``<out>.adapting`` lies there instead.
        truth: labelled images, on which mIoU is measured before and after, for information.
        resume: go on with ``<out>.adapting``, if it is there.
        on_step: told what is being done.
        on_progress: told of every step.

    Raises:
        InputError: if what lies there is of another run, or one picture is too large for memory.
        DataError: if ``truth`` has another number of classes.
        ISRError: if a setting does not fit a picture.
        GateError: if nothing is gained; nothing is written.
    """
    if truth is not None:
        check_classes(checkpoint, truth)
    for isr in settings:
        isr.check_fits(*options.picture)
    with reference_settings():
        run = _Run(checkpoint, settings, frames, options, out.with_name(out.name + UNFINISHED))
        run.begin(on_step, resume=resume)
        run.train(on_progress)
        made = run.result()
        if made.gain <= 0:
            run.path.unlink(missing_ok=True)
            raise GateError(f"{made.verdict}; nothing is written")
        record = Adapted(
            source=checkpoint.name, source_sha256=checkpoint.sha256,
            isr=tuple(map(str, settings)), frames=len(frames), frames_sha256=frames.sha256,
            steps=made.best.step, seed=options.seed, tool_version=__version__,
        )  # fmt: skip
        save_adapted(checkpoint, run.state.best, record, out)
        run.path.unlink(missing_ok=True)
        if truth is None:
            return made
        on_step(f"measuring mIoU on {len(truth)} images of {truth.name}")
        asked = tuple(dict.fromkeys((checkpoint.places.base, *settings)))
        return made.with_truth(
            truth.name, Judge(truth, options.size).compare(checkpoint, run.state.best, asked)
        )


class _Run:
    """Teacher, student, frames, and how far they are."""

    def __init__(
        self, checkpoint: Checkpoint, settings: Sequence[ISR], frames: Frames,
        options: AdaptOptions, path: Path,
    ) -> None:  # fmt: skip
        self.settings, self.frames, self.options, self.path = settings, frames, options, path
        teacher = checkpoint.model()
        self.state = State(self._bound(checkpoint), options.steps)
        self.schedule = Schedule(options.steps, options.rate)
        self.distiller = Distiller(
            teacher, checkpoint.model(), self.schedule,
            trained=options.trained, device=options.runs_on,
        )  # fmt: skip
        self.draw = Draw(
            options.seed, options.batch, options.picture, settings, teacher.normalisation.fill
        )
        self.exam: Exam | None = None

    def _bound(self, checkpoint: Checkpoint) -> dict[str, str]:
        """What the weights depend on, by the names that people know."""
        own = self.options
        return {
            "checkpoint": f"{checkpoint.sha256} {checkpoint.prepared} {checkpoint.variant}",
            "--isr": " ".join(map(str, self.settings)),
            "--frames": self.frames.sha256,
            "--size": format_size(own.size),
            "--crop": format_size(own.picture),
            "--steps": str(own.steps) if own.minutes is None else f"{own.minutes} minutes",
            "--batch": str(own.batch),
            "--rate": str(own.rate),
            "--train": own.trained,
            "--seed": str(own.seed),
            "--device": own.runs_on,
            "version of PyTorch": str(torch.__version__),
            "number of threads": str(torch.get_num_threads()),
        }

    def begin(self, on_step: Callable[[str], None], *, resume: bool) -> None:
        """The exam's answers, and the student's marks before the first step."""
        going_on = resume and self.path.exists()
        if going_on:
            self.state = read_state(self.path, self.state.bound)
            with damaged(self.path):
                self.distiller.restore(self.state.learner)
            on_step(f"going on at step {self.state.step}")
        elif self.path.exists():
            raise InputError(
                f"{self.path} is of a run that was cut; go on with --resume, or delete it"
            )
        on_step("asking the teacher")
        self.exam = Exam.set_by(self.distiller.teacher, self.frames, self.settings)
        if not going_on:
            self._examine()
        self.schedule.steps = self.state.steps

    def train(self, on_progress: Callable[[Progress], None]) -> None:
        """To the end, or until nothing is gained any more."""
        state = self.state
        while state.step < state.steps and not state.is_stuck(_PATIENCE):
            start = time.perf_counter()
            lessons = self.draw.lessons(self.frames, state.step)
            loss = self._learn(lessons)
            state.step += 1
            state.seconds += time.perf_counter() - start
            self._fit_to_minutes()
            if state.step % self._every == 0 or state.step == state.steps:
                self._examine()
            left = (state.steps - state.step) * state.seconds / state.step
            on_progress(Progress(state.step, state.steps, loss, state.exams[-1].mean, left))

    def _learn(self, lessons: Sequence[Lesson]) -> float:
        try:
            return self.distiller.learn(lessons, self.state.step)
        except MemoryError as error:
            raise InputError(
                f"one picture of {format_size(self.options.picture)} is too large to learn from in "
                "this machine's memory; use a smaller --crop"
            ) from error

    @property
    def _every(self) -> int:
        return max(self.state.steps // _EXAMS, 1)

    def _fit_to_minutes(self) -> None:
        """Once it is known how long a step takes; from then on steps are the measure."""
        minutes, state = self.options.minutes, self.state
        if minutes is not None and state.step == _TIMED:
            each = state.seconds / state.step
            self.schedule.steps = state.steps = max(int(60 * minutes / each), _TIMED)

    def _examine(self) -> None:
        """The student's marks; the best weights are kept, and all of it is written."""
        assert self.exam is not None
        state, distiller = self.state, self.distiller
        marks = self.exam.agreement(distiller.mean)
        state.add(Examined(state.step, marks), distiller.mean)
        state.learner = distiller.state
        state.write(self.path)

    def result(self) -> Adaptation:
        """What came of it."""
        return Adaptation(
            settings=tuple(self.settings),
            learnt_from=len(self.frames.learnt),
            held_out=len(self.frames.held),
            exams=tuple(self.state.exams),
            best=self.state.best_exam,
            steps=self.state.step,
            seconds=self.state.seconds,
            picture=self.options.picture,
            runs_on=self.options.runs_on,
        )
