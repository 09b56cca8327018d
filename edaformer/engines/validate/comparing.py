"""An artifact at work beside PyTorch's answers, an image at a time: here, or in many processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edaformer.closing import Closing
from edaformer.data import Sample
from edaformer.engines.artifact.kind import artifact_manifest, is_plan
from edaformer.engines.artifact.plan import sidecar_path
from edaformer.engines.artifact.preflight import preflight
from edaformer.engines.artifact.served import is_address
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.spread.job import Placed
from edaformer.engines.spread.spread import Spread
from edaformer.engines.validate.answers import Answers, Labels, Remote, Setting, Shared, Source
from edaformer.engines.validate.contribution import Contribution, Contributor, Worst
from edaformer.engines.validate.procedure import artifact_labels, procedure_of, resizes_labels
from edaformer.errors import EXIT_MISSING, NaNError
from edaformer.export.runtime import uses_cuda
from edaformer.labels.no_class import check_labels


@dataclass(frozen=True)
class Question:
    """What is compared, and how much of it is kept."""

    artifact: Path
    provider: str
    setting: Setting
    keep_worst: int


class Comparing(Closing):
    """An artifact that is open, and what one part of the data contributes with it."""

    def __init__(
        self, question: Question, *, at: Path | None = None, threads: int | None = None
    ) -> None:
        """Open it.

        Args:
            question: of which artifact.
            at: where it lies here; None: where the question says.
            threads: of the CPU, for ONNX Runtime; None: all.

        Raises:
            InputError: if it cannot be asked this.
            MissingError: for a plan without a GPU.
        """
        path, setting = at or question.artifact, question.setting
        manifest, asked = artifact_manifest(path), setting.procedure
        self._procedure = procedure_of(
            manifest, asked.protocol, None if manifest.input.dynamic_size else asked.fit
        )
        self._setting, self._classes = setting, len(setting.data.classes)
        worst = Worst(question.keep_worst)
        self._contributor = Contributor(self._classes, setting.data.ignore_label, worst)
        self._candidate = open_artifact(path, provider=question.provider, threads=threads)
        self.description = self._candidate.description

    def one(self, index: int, sample: Sample, answers: Answers) -> Contribution:
        """An image's contribution.

        Raises:
            NaNError: if the artifact gives no number, naming the image, or PyTorch did.
        """
        candidate, image = self._candidate, sample.image
        passes = self._procedure.passes((image.shape[0], image.shape[1]))
        what = f"{sample.name} in {self._setting.description}"
        check_labels(answers.reference.labels, self._classes, what=what)
        labels = artifact_labels(candidate, image, passes)
        _check_candidate(labels, self._classes, sample.name, index)
        framed = None if answers.framed is None else candidate.label_frame(image)
        return self._contributor.add(
            index, sample, answers, labels,
            resized=resizes_labels(candidate, image, passes), framed=framed,
        )  # fmt: skip

    def close(self) -> None:
        """Close the artifact."""
        self._candidate.close()


@dataclass(frozen=True)
class Compared:
    """What a worker sends back of an image."""

    contribution: Contribution
    entries: Sequence[tuple[Path, bytes]]  # for the cache
    description: str  # of the artifact at work


@dataclass(frozen=True)
class ComparisonJob:
    """The comparison, for edaformer.engines.spread; a unit is an image's index."""

    question: Question
    source: Shared
    needs_gpu: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """The artifact, a plan's sidecar, and the source's own; a served model has none."""
        artifact = self.question.artifact
        if is_address(artifact):
            return tuple(self.source.files)
        beside = [sidecar_path(artifact)] if is_plan(artifact) else []
        return (artifact, *(path for path in beside if path.is_file()), *self.source.files)

    @property
    def kept(self) -> str:
        """The source's answers; the artifact's are its to give again."""
        return self.source.kept

    def open(self, placed: Placed) -> ComparingUnits:
        """In a worker.

        Raises:
            InputError: for a plan that does not run on this worker's GPU.
            MissingError: for one where there is none.
        """
        artifact = self.question.artifact
        at = placed.moves.get(artifact, artifact)
        if not is_address(artifact) and is_plan(at):
            _check_gpu(at)
        comparing = Comparing(self.question, at=at, threads=placed.threads)
        return ComparingUnits(comparing, self.source.open(placed.moves))

    def unit_files(self, unit: int) -> tuple[Path, ...]:
        """Of an image."""
        return self.source.unit_files(unit)

    def called(self, unit: int) -> str:
        """The image's name."""
        return self.source.called(unit)


@dataclass(frozen=True)
class ComparingUnits:
    """The job, opened in a worker."""

    comparing: Comparing
    source: Remote

    def read(self, unit: int) -> tuple[int, object]:
        """The image."""
        return unit, self.source.read(unit)

    def work(self, read: tuple[int, object]) -> Compared:
        """Its contribution."""
        index, rest = read
        contribution = self.comparing.one(index, *self.source.answer(rest))
        return Compared(contribution, self.source.take(), self.comparing.description)

    def close(self) -> None:
        """Close artifact and source."""
        self.comparing.close()
        self.source.close()


def contributions(
    question: Question, source: Source, spread: Spread | None, workers: int
) -> Iterator[tuple[Contribution, str]]:
    """Of all images, each with the artifact's description: in their order, or as they are done.

    Args:
        question: what is compared.
        source: the answers.
        spread: over what; None: in this process.
        workers: threads that read ahead, in each process.
    """
    if spread is None:
        with Comparing(question) as comparing:
            for index, (sample, answers) in enumerate(source.answered()):
                yield comparing.one(index, sample, answers), comparing.description
        return
    job = ComparisonJob(question, source.shared(), _computes_on_gpu(question))
    with spread.hired(job, len(source), ahead=workers) as hired:
        for _, made in hired.over(range(len(source))):
            job.source.write(made.entries)
            yield made.contribution, made.description


def _computes_on_gpu(question: Question) -> bool:
    """Whether a worker needs one; a served model is on the server's."""
    if is_address(question.artifact):
        return False
    return is_plan(question.artifact) or uses_cuda(question.provider)


def _check_gpu(plan: Path) -> None:
    """By edaformer-check's verdict: before a worker has anything in hand."""
    verdict = preflight(plan, asked_by="edaformer-validate")
    if verdict.exit_code != EXIT_MISSING:  # what is missing is told by whoever needs it
        verdict.require()


def _check_candidate(labels: Labels, classes: int, name: str, at: int) -> None:
    try:
        check_labels(labels, classes, what=f"{name} in the artifact")
    except NaNError as error:
        error.at = at
        raise
