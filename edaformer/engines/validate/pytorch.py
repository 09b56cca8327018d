"""PyTorch's answers, computed here and now, or out of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edaformer.data import Dataset, Sample
from edaformer.data.ahead import read_ahead
from edaformer.data.archive import image_sha256
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.validate.answers import Answers, Labels, Setting
from edaformer.engines.validate.procedure import Image, Procedure, decide_image
from edaformer.engines.validate.reference_cache import CacheKey, ReadCache, ReferenceCache
from edaformer.errors import InputError
from edaformer.evaluation.protocol import Passes
from edaformer.families.architecture import numbers
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from edaformer.labels.decide import Decision
from edaformer.preprocess import known_resize


@dataclass(frozen=True)
class Reference:
    """PyTorch float32 at one ISR, out of the cache where it was there before."""

    checkpoint: Checkpoint
    isr: ISR
    segmenter: TorchSegmenter
    cache: ReferenceCache | None

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, isr: ISR, align: int | None, cache: ReferenceCache | None
    ) -> Reference:
        """The checkpoint at ``isr``, padded as the artifact pads."""
        return cls(checkpoint, isr, TorchSegmenter(checkpoint.model(isr), align), cache)

    def decide(self, image: Image, image_hash: str, passes: Passes) -> Decision:
        """Labels and margins."""
        if self.cache is None:
            return decide_image(self.segmenter, image, passes)
        key = CacheKey(
            checkpoint_sha256=self.checkpoint.sha256,
            prepared=self.checkpoint.prepared,
            network=numbers(self.checkpoint.variant),
            isr=str(self.isr),
            align=self.segmenter.align,
            passes=passes,
            image_sha256=image_hash,
            size=(image.shape[0], image.shape[1]),
            classes=self.checkpoint.num_classes,
            torch_version=torch.__version__,
        )
        return self.cache.get_or_make(key, lambda: decide_image(self.segmenter, image, passes))


class PyTorchAnswers:
    """A Source that has PyTorch, the checkpoint and the data."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        data: Dataset,
        isr: ISR,
        procedure: Procedure,
        *,
        align: int | None,
        frames: bool = False,
        cache: ReferenceCache | None = None,
        workers: int = 1,
        original: Checkpoint | None = None,
    ) -> None:
        """Load the network at both settings.

        Args:
            checkpoint: as loaded.
            data: images with their truth.
            isr: the artifact's.
            procedure: how it is given an image.
            align: what it pads to multiples of.
            frames: whether to answer behind the checkpoint's own processor, too.
            cache: where answers are kept; None computes all of them.
            workers: threads that read images ahead; 0 reads in between.
            original: the checkpoint that this one was adapted from, to answer at base ISR, too.

        Raises:
            InputError: for a negative number of workers, frames without one size, or an original
                that is another one.
        """
        if frames and procedure.fixed is None:
            raise InputError(
                "an artifact of any size takes frames as they are, so --frames has no meaning; "
                "leave it out"
            )
        if workers < 0:
            raise InputError(f"expected --workers of 0 or more, got {workers}")
        self._data, self._workers = data, workers
        self.base = Reference.of(checkpoint, checkpoint.places.base, align, cache)
        self.original = None
        if original is not None:
            _check_original(checkpoint, original)
            self.original = Reference.of(original, original.places.base, align, cache)
        same = isr == self.base.isr
        self.reference = self.base if same else Reference.of(checkpoint, isr, align, cache)
        self.origin = checkpoint.name if checkpoint.hub is None else checkpoint.hub.pinned
        protocol = procedure.protocol
        self.setting = Setting(
            data=data.record,
            checkpoint_sha256=checkpoint.sha256,
            prepared=checkpoint.prepared,
            network=numbers(checkpoint.variant),
            description=self.reference.segmenter.description,
            isr_base=str(self.base.isr),
            isr=str(isr),
            size=procedure.fixed,
            align=align,
            protocol=protocol.name,  # type: ignore[arg-type]  # checked by it
            scales=protocol.scales,
            flip=protocol.flip,
            fit=procedure.fit,
            frames=known_resize(checkpoint.resize, "leave --frames out") if frames else None,
            original=None if original is None else original.sha256,
        )
        self._procedure = procedure
        self._shared = SharedPyTorch(
            checkpoint, data, isr, procedure, align, frames, original,
            None if cache is None else cache.folder, cache,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._data)

    def answered(self) -> Iterator[tuple[Sample, Answers]]:
        """In the data set's order."""
        for read in read_ahead(self.read, len(self), workers=self._workers):
            yield self.answer(read)

    def shared(self) -> SharedPyTorch:
        """For other processes."""
        return self._shared

    def read(self, index: int) -> tuple[Sample, str]:
        """An image, and the hash of its pixels."""
        sample = self._data.load(index)
        return sample, image_sha256(sample.image)

    def answer(self, read: tuple[Sample, str]) -> tuple[Sample, Answers]:
        """Compute the answers, or take them out of the cache."""
        sample, image_hash = read
        return sample, self._answers(sample.image, image_hash)

    def _answers(self, image: Image, image_hash: str) -> Answers:
        size = (image.shape[0], image.shape[1])
        passes, letter = self._procedure.passes(size), self._procedure.by_the_letter(size)
        base = self.base.decide(image, image_hash, passes)
        reference = base
        if self.reference is not self.base:
            reference = self.reference.decide(image, image_hash, passes)
        to_the_letter = None
        if letter != passes:
            to_the_letter = self.reference.decide(image, image_hash, letter).labels
        original = None
        if self.original is not None:
            original = self.original.decide(image, image_hash, passes).labels
        return Answers(base.labels, reference, to_the_letter, self._framed(image), original)

    def _framed(self, image: Image) -> Labels | None:
        rule, size = self.setting.frames, self.setting.size
        if rule is None or size is None:
            return None
        return self.reference.segmenter.label_frame(image, size, rule)


def _check_original(checkpoint: Checkpoint, original: Checkpoint) -> None:
    record = checkpoint.adapted
    if record is None:
        raise InputError(
            f"--original is for a checkpoint that was adapted, and {checkpoint.name} was not; "
            "leave it out"
        )
    if record.source_sha256 != original.sha256:
        raise InputError(
            f"{checkpoint.name} was adapted from {record.source} (SHA-256 "
            f"{record.source_sha256[:12]}...), and {original.name} is another "
            f"({original.sha256[:12]}...); name that one with --original"
        )


@dataclass
class SharedPyTorch:
    """PyTorchAnswers for other processes, which read the cache and do not write it."""

    checkpoint: Checkpoint
    data: Dataset
    isr: ISR
    procedure: Procedure
    align: int | None
    frames: bool
    original: Checkpoint | None
    folder: Path | None  # of the cache
    cache: ReferenceCache | None  # here alone

    @property
    def files(self) -> tuple[Path, ...]:
        """None: the checkpoint's weights go with it."""
        return ()

    @property
    def kept(self) -> str:
        """In the cache, if there is one."""
        if self.folder is None:
            return "without a cache (--no-cache) the same line begins again"
        return "PyTorch's finished predictions are in the cache: the same line goes on with them"

    def unit_files(self, index: int) -> tuple[Path, ...]:
        """Image and labels."""
        return self.data.files(index)

    def called(self, index: int) -> str:
        """The image's name."""
        return self.data.name_of(index)

    def open(self, moves: Mapping[Path, Path]) -> RemotePyTorch:
        """Load the network at both settings."""
        cache = None if self.folder is None else ReadCache(self.folder)
        return RemotePyTorch(
            PyTorchAnswers(
                self.checkpoint, self.data.moved(moves), self.isr, self.procedure,
                align=self.align, frames=self.frames, cache=cache, original=self.original,
            ),
            cache,
        )  # fmt: skip

    def write(self, entries: Sequence[tuple[Path, bytes]]) -> None:
        """Into the cache."""
        if self.cache is not None:
            self.cache.write(entries)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "cache": None}  # it has one writer


@dataclass(frozen=True)
class RemotePyTorch:
    """In another process."""

    answers: PyTorchAnswers
    cache: ReadCache | None

    def read(self, index: int) -> tuple[Sample, str]:
        """An image, and the hash of its pixels."""
        return self.answers.read(index)

    def answer(self, read: tuple[Sample, str]) -> tuple[Sample, Answers]:
        """Compute the answers, or take them out of the cache."""
        return self.answers.answer(read)

    def take(self) -> Sequence[tuple[Path, bytes]]:
        """New entries of the cache."""
        return () if self.cache is None else self.cache.take()

    def close(self) -> None:
        """Nothing to give back."""
