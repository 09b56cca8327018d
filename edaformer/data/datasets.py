"""Data sets with ground truth: images, label maps, class names, the void label.

scenes[:N]         street scenes drawn at the size asked for, from seeds that were never trained on;
                   the first N of them, else SCENES
ade20k:DIR         the official layouts of the benchmarks (edaformer.data.layouts), validation split
cityscapes:DIR
cocostuff164k:DIR
camvid:DIR         DIR/val/*.png and DIR/valannot/*.png, labels 0..10, 11 void
folder:DIR         any other: DIR/images/*, DIR/labels/*.png of the same stem, DIR/classes.txt with
                   one name a line; label 255 is void
reference:FILE     the images of a reference file (edaformer-validate --save-reference)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

from edaformer.data.archive import Archive
from edaformer.data.classes import CAMVID, ClassSet, class_set
from edaformer.data.layouts import Reading, find_pairs
from edaformer.data.scenes import LARGEST, SMALLEST, draw_scene, held_out_seed
from edaformer.errors import DataError, FrameError
from edaformer.pictures import Picture, read_picture, turn_upright

FOLDER_VOID = 255
REFERENCE_KIND = "reference"
TRUTH = "truth"  # its plane of labels
SCENES = 200  # held-out scenes of the default data set


class DataRecord(BaseModel):
    """What is written down of a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: tuple[str, ...] = Field(min_length=1, max_length=256)
    ignore_label: int = Field(ge=0, le=255)
    palette: tuple[tuple[int, int, int], ...] | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One image with its truth."""

    name: str
    image: NDArray[np.uint8]  # RGB (H, W, 3)
    labels: NDArray[np.uint8]  # (H, W)


@dataclass(frozen=True)
class Dataset(ABC):
    """Samples in a fixed order."""

    name: str  # as the user wrote it
    classes: tuple[str, ...]
    ignore_label: int
    palette: tuple[tuple[int, int, int], ...] | None = field(default=None, kw_only=True)
    protocol: str = field(default="native", kw_only=True)  # how the release evaluates it
    notes: tuple[str, ...] = field(default=(), kw_only=True)  # what a reader of figures must know

    @property
    def record(self) -> DataRecord:
        """What a file that was made from it says of it."""
        return DataRecord(
            name=self.name, classes=self.classes, ignore_label=self.ignore_label,
            palette=self.palette, notes=self.notes,
        )  # fmt: skip

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, index: int) -> Sample:
        """One image with its truth; safe to call from several threads."""

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            yield self.load(index)

    def head(self, limit: int | None) -> Self:
        """The first ``limit`` images; None takes all."""
        if limit is None:
            return self
        check_limit(limit)
        return self._first(limit)

    @abstractmethod
    def _first(self, limit: int) -> Self: ...


@dataclass(frozen=True)
class SceneDataset(Dataset):
    """Held-out street scenes, drawn as they are asked for."""

    size: tuple[int, int]  # (H, W)
    count: int

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        """Draw a scene."""
        scene = draw_scene(held_out_seed(index), *self.size)
        return Sample(f"scene {index}", scene.image, scene.labels)

    def _first(self, limit: int) -> Self:
        return replace(self, count=min(limit, self.count))


@dataclass(frozen=True)
class FileDataset(Dataset):
    """Pairs of image and label files."""

    pairs: tuple[tuple[Path, Path], ...]
    reading: Reading | None = None  # how stored values become classes; None: as stored

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> Sample:
        """Read a pair.

        Raises:
            DataError: if a file cannot be read or the two do not belong together.
        """
        image_path, label_path = self.pairs[index]
        picture, stored = read_image(image_path), read_labels(label_path)
        image, stored = picture.pixels, _turned_with(picture, stored)
        if image.shape[:2] != stored.shape:
            raise DataError(
                f"{image_path.name} is {_size(image)} but {label_path} is {_size(stored)}; "
                "expected a label for every pixel"
            )
        self._check_labels(label_path, stored)
        labels = stored if self.reading is None else self.reading.table[stored]
        return Sample(image_path.stem, image, labels)

    def _first(self, limit: int) -> Self:
        return replace(self, pairs=self.pairs[:limit])

    def _check_labels(self, path: Path, stored: NDArray[np.uint8]) -> None:
        highest = len(self.classes) - 1 if self.reading is None else self.reading.highest
        there = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
        wrong = there[(there > highest) & (there != self.ignore_label)]
        if wrong.size:
            raise DataError(
                f"{path} holds label {wrong[0]}; expected 0..{highest} or "
                f"{self.ignore_label} for void. Convert the labels or check the class names"
            )


@dataclass(frozen=True)
class ReferenceDataset(Dataset):
    """The images and the truth of a reference file."""

    archive: Archive

    def __len__(self) -> int:
        return len(self.archive.images)

    def load(self, index: int) -> Sample:
        """Read an image.

        Raises:
            DataError: if it is not as the file's head says.
        """
        name = self.archive.images[index].name
        return Sample(name, self.archive.pixels(index), self.archive.plane(index, TRUTH))

    def _first(self, limit: int) -> Self:
        return replace(self, archive=self.archive.head(limit))


def check_limit(limit: int) -> None:
    """Refuse to take no image at all.

    Raises:
        DataError: if ``limit`` is below 1.
    """
    if limit < 1:
        raise DataError(f"expected --limit of at least 1, got {limit}")


def open_dataset(spec: str, size: tuple[int, int]) -> Dataset:
    """Open ``scenes``, ``scenes:N`` or ``kind:DIR``.

    Args:
        spec: as the user wrote it.
        size: (H, W) to draw scenes at; files have their own.

    Raises:
        DataError: if the kind is unknown or the folder is not laid out as its kind is.
    """
    kind, colon, rest = spec.partition(":")
    if kind == "scenes" and (rest or not colon):
        return _scenes(spec, rest, size)
    opener = _KINDS.get(kind)
    if opener is None or not rest:
        kinds = (f"{name}:{'FILE' if name == REFERENCE_KIND else 'DIR'}" for name in _KINDS)
        forms = ", ".join(["scenes", "scenes:N", *kinds])
        raise DataError(f"expected --data as one of {forms}, got '{spec}'")
    return opener(spec, Path(rest))


def read_image(path: Path) -> Picture:
    """An image file as edaformer.pictures reads it: uint8 RGB (H, W, 3), upright.

    Raises:
        DataError: if it cannot be read as an image.
    """
    try:
        return read_picture(path)
    except FrameError as error:
        raise DataError(
            f"{path} cannot be read as an image: {error}; replace it or take it out"
        ) from error


def read_labels(path: Path) -> NDArray[np.uint8]:
    """A label PNG (grey or palette) as uint8 (H, W).

    Raises:
        DataError: if it cannot be read, or is a colour picture rather than labels.
    """
    try:
        with Image.open(path) as file:
            if file.mode not in ("L", "P"):
                raise DataError(
                    f"{path} has mode {file.mode}; expected 8-bit labels (grey or palette PNG)"
                )
            return np.asarray(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a label image; replace it") from error


def _turned_with(picture: Picture, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The labels, turned as the image was where their shape says that they lie as it was stored.

    Labels that lie as the image is seen are what mmsegmentation expects, and what a tool makes that
    shows photographs upright. Half turns, mirrors and squares look alike: upright is taken.
    """
    if stored.shape == picture.pixels.shape[:2]:
        return stored
    return turn_upright(stored, picture.orientation)


def _scenes(spec: str, count: str, size: tuple[int, int]) -> Dataset:
    if count and not (count.isascii() and count.isdigit() and 0 < int(count[:10]) < 10**9):
        raise DataError(f"expected scenes:N with N from 1 on, got '{spec}'")
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise DataError(
            f"scenes are drawn from {SMALLEST}x{SMALLEST} to {LARGEST}x{LARGEST}, not at "
            f"{size[0]}x{size[1]}; name other data with --data"
        )
    classes, void = CAMVID.classes, CAMVID.ignore_label
    number = int(count) if count else SCENES
    return SceneDataset(spec, classes, void, size, number, palette=CAMVID.palette)


def _camvid(spec: str, root: Path) -> Dataset:
    return _open(spec, "camvid", root, CAMVID)


def _ade20k(spec: str, root: Path) -> Dataset:
    return _open(spec, "ade20k", root, class_set("ade20k"), protocol="ade20k")


def _cityscapes(spec: str, root: Path) -> Dataset:
    return _open(spec, "cityscapes", root, class_set("cityscapes"), protocol="cityscapes")


def _cocostuff164k(spec: str, root: Path) -> Dataset:
    # evaluated as ADE20K is
    return _open(spec, "cocostuff164k", root, class_set("cocostuff164k"), protocol="ade20k")


def _folder(spec: str, root: Path) -> Dataset:
    if not root.is_dir():
        raise DataError(f"expected a folder at {root}, found nothing there; check --data")
    names = root / "classes.txt"
    if not names.is_file():
        raise DataError(f"expected class names, one a line, in {names}; found none")
    text = names.read_text(encoding="utf-8-sig", errors="replace")
    classes = tuple(line for part in text.splitlines() if (line := part.strip()))
    if not 1 <= len(classes) <= FOLDER_VOID:
        raise DataError(f"expected 1 to {FOLDER_VOID} class names in {names}, got {len(classes)}")
    return _open(spec, "folder", root, ClassSet(classes, (), FOLDER_VOID))


def _reference(spec: str, file: Path) -> Dataset:
    archive = Archive.open(file, REFERENCE_KIND)
    try:
        data = DataRecord.model_validate(archive.about.get("data"))
    except ValidationError as error:
        raise DataError(f"{file} does not say what its images are; make it again") from error
    if not archive.has_pixels:
        raise DataError(f"{file} was made without images; name the data it was made from")
    return ReferenceDataset(
        spec, data.classes, data.ignore_label, archive, palette=data.palette,
        protocol=str(archive.about.get("protocol")), notes=data.notes,
    )  # fmt: skip


def _open(
    spec: str, kind: str, root: Path, classes: ClassSet, *, protocol: str = "native"
) -> FileDataset:
    found = find_pairs(kind, root)
    return FileDataset(
        spec,
        classes.classes,
        classes.ignore_label,
        found.pairs,
        found.reading,
        palette=classes.palette or None,
        protocol=protocol,
        notes=found.notes,
    )


_KINDS: dict[str, Callable[[str, Path], Dataset]] = {
    "camvid": _camvid,
    "folder": _folder,
    "ade20k": _ade20k,
    "cityscapes": _cityscapes,
    "cocostuff164k": _cocostuff164k,
    REFERENCE_KIND: _reference,
}


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
