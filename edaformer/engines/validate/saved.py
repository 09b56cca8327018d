"""PyTorch's answers in a file: written at the desk, read where neither PyTorch nor the data is.

The file holds, for each image, its pixels, its truth, PyTorch's labels at both ISR settings (and to
the letter where the artifact's size is another) and the margins in half precision: what the tally
counts with, bit for bit, so that a validation by the file is the validation by PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edaformer.closing import Closing
from edaformer.data import Dataset, Sample
from edaformer.data.ahead import read_ahead
from edaformer.data.archive import Archive, ImageRecord, image_sha256, write_archive
from edaformer.data.datasets import REFERENCE_KIND, TRUTH, check_limit
from edaformer.engines.validate.answers import Answers, Setting
from edaformer.engines.validate.procedure import Image
from edaformer.errors import DataError, InputError
from edaformer.labels.decide import Decision

if TYPE_CHECKING:
    from edaformer.engines.validate.answers import Shared, Source

_BASE, _LABELS, _LETTER, _FRAMED = "base", "labels", "letter", "framed"
_ORIGINAL = "original"
_LOW, _HIGH = "margin.low", "margin.high"


class Saving:
    """A Source that is written to a file as it answers, whole or not at all."""

    def __init__(self, source: Source, path: Path, *, with_images: bool = True) -> None:
        """Of another one.

        Args:
            source: what answers.
            path: the file.
            with_images: whether the pixels go with it; else their hashes alone do.
        """
        self._source, self._path, self._with_images = source, path, with_images
        self.setting, self.origin = source.setting, source.origin

    def __len__(self) -> int:
        return len(self._source)

    def shared(self) -> Shared:
        """It writes the images in their order.

        Raises:
            InputError: always.
        """
        raise InputError(
            "--save-reference writes the images in their order, from one process; validate with "
            "many first and save then, alone: what they computed is in the cache"
        )

    def answered(self) -> Iterator[tuple[Sample, Answers]]:
        """As the other one; the file is there once the last image was taken.

        Raises:
            InputError: if it cannot be written.
        """
        with write_archive(self._path, REFERENCE_KIND) as archive:
            archive.about = self.setting.model_dump(mode="json")
            for sample, answers in self._source.answered():
                low, high = answers.reference.margin_bytes()
                planes = {TRUTH: sample.labels, _LABELS: answers.reference.labels}
                planes |= {_LOW: low, _HIGH: high}
                if self.setting.isr != self.setting.isr_base:
                    planes[_BASE] = answers.base
                for name, labels in (
                    (_LETTER, answers.letter), (_FRAMED, answers.framed),
                    (_ORIGINAL, answers.original),
                ):  # fmt: skip
                    if labels is not None:
                        planes[name] = labels
                archive.add(sample.name, sample.image, planes, keep_pixels=self._with_images)
                yield sample, answers


class SavedAnswers(Closing):
    """A Source that is read from a file."""

    def __init__(self, path: Path, *, workers: int = 1) -> None:
        """Open a file that Saving wrote; all of it is checked.

        Args:
            path: the file.
            workers: threads that read ahead; 0 reads in between.

        Raises:
            DataError: if it is none, or damaged.
            InputError: for a negative number of workers.
        """
        if workers < 0:
            raise InputError(f"expected --workers of 0 or more, got {workers}")
        self._archive = Archive.open(path, REFERENCE_KIND)
        self._workers = workers
        self._pictures: Dataset | None = None
        self.origin = str(path)
        try:
            self.setting = Setting.model_validate(self._archive.about)
            _ = self.setting.procedure  # a protocol that cannot be is refused here
        except (ValidationError, InputError) as error:
            self.close()
            raise DataError(
                f"{path} does not say what it holds ({_reason(error)}); make it again with "
                "--save-reference"
            ) from error

    def __len__(self) -> int:
        return len(self._archive.images)

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """What the file says of each image."""
        return self._archive.images

    @property
    def has_images(self) -> bool:
        """Whether the pixels are in the file."""
        return self._archive.has_pixels

    def look_in(self, pictures: Dataset) -> None:
        """Take the pixels from a data set, each by its place and hash.

        Raises:
            DataError: if it holds fewer images.
        """
        if len(pictures) < len(self):
            raise DataError(
                f"{self.origin} is of {len(self)} images and {pictures.name} holds "
                f"{len(pictures)}; name the data it was made from"
            )
        self._pictures = pictures

    def head(self, limit: int | None) -> None:
        """Only the first ``limit`` images; None: all.

        Raises:
            DataError: if that is none.
        """
        if limit is not None:
            check_limit(limit)
            self._archive = self._archive.head(limit)

    def answered(self) -> Iterator[tuple[Sample, Answers]]:
        """In the file's order.

        Raises:
            DataError: if an image is not there, or not as the file says.
        """
        if self._pictures is None and not self.has_images:
            raise DataError(
                f"{self.origin} was made without images; name the data it was made from with --data"
            )
        return read_ahead(self.read, len(self), workers=self._workers)

    def shared(self) -> SharedSaved:
        """For other processes."""
        return SharedSaved(Path(self.origin), self._pictures, [r.name for r in self.records])

    def answer(self, read: tuple[Sample, Answers]) -> tuple[Sample, Answers]:
        """It was read with the image."""
        return read

    def take(self) -> Sequence[tuple[Path, bytes]]:
        """Nothing is to be kept."""
        return ()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def read(self, at: int) -> tuple[Sample, Answers]:
        """An image and its answers."""
        record = self._archive.images[at]
        labels, low, high = (self._archive.plane(at, name) for name in (_LABELS, _LOW, _HIGH))
        same = self.setting.isr == self.setting.isr_base
        answers = Answers(
            base=labels if same else self._archive.plane(at, _BASE),
            reference=Decision.of_bytes(labels, low, high),
            letter=self._archive.plane(at, _LETTER) if _LETTER in record.planes else None,
            framed=None if self.setting.frames is None else self._archive.plane(at, _FRAMED),
            original=None if self.setting.original is None else self._archive.plane(at, _ORIGINAL),
        )
        return Sample(record.name, self._pixels(at), self._archive.plane(at, TRUTH)), answers

    def _pixels(self, at: int) -> Image:
        if self._pictures is None:
            return self._archive.pixels(at)
        record, image = self._archive.images[at], self._pictures.load(at).image
        if image_sha256(image) != record.sha256:
            raise DataError(
                f"image {at} of {self._pictures.name} is not {record.name} of {self.origin}: its "
                "pixels differ. Name the data it was made from"
            )
        return image


@dataclass(frozen=True)
class SharedSaved:
    """SavedAnswers for other processes."""

    path: Path
    pictures: Dataset | None
    names: list[str]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file itself."""
        return (self.path,)

    @property
    def kept(self) -> str:
        """Nothing: PyTorch's answers are in the file, and the artifact's are quick."""
        return "the same line begins again"

    def unit_files(self, index: int) -> tuple[Path, ...]:
        """Of the data set that holds the pixels, where the file does not."""
        return () if self.pictures is None else self.pictures.files(index)

    def called(self, index: int) -> str:
        """The image's name."""
        return self.names[index]

    def open(self, moves: Mapping[Path, Path]) -> SavedAnswers:
        """Open the file again."""
        made = SavedAnswers(moves.get(self.path, self.path))
        if self.pictures is not None:
            made.look_in(self.pictures.moved(moves))
        return made

    def write(self, entries: Sequence[tuple[Path, bytes]]) -> None:
        """There are none."""
        assert not entries


def _reason(error: ValidationError | InputError) -> str:
    if isinstance(error, InputError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
