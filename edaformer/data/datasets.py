"""Data sets with ground truth: images, label maps, class names, the void label.

scenes[:N]         street scenes drawn at the size asked for, from seeds that were never trained on;
                   the first N of them, else SCENES
ade20k:DIR         the official layouts of the benchmarks (edaformer.data.layouts), validation split
cityscapes:DIR
cocostuff164k:DIR
camvid:DIR         DIR/val/*.png and DIR/valannot/*.png, labels 0..10, 11 void
folder:DIR         any other: DIR/images/*, DIR/labels/*.png of the same stem, DIR/classes.txt with
                   one name a line; label 255 is void. Or JPEGImages, SegmentationClass and
                   labelmap.txt, as CVAT and VOC write them
reference:FILE     the images of a reference file (edaformer-validate --save-reference)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

from edaformer.data.archive import Archive
from edaformer.data.classes import CAMVID, ClassSet, class_set
from edaformer.data.folder import find_folder
from edaformer.data.layouts import Pairs, find_pairs
from edaformer.data.scenes import LARGEST, SMALLEST, draw_scene, held_out_seed
from edaformer.data.truth.pixels import shared_palette
from edaformer.data.truth.reading import Reading, reading_of, stored_as_they_are
from edaformer.data.truth.values import AS_STORED
from edaformer.errors import DataError, FrameError
from edaformer.pictures import Picture, read_picture, turn_upright

FOLDER_VOID = 255
REFERENCE_KIND = "reference"
REDUCED = (
    "labels are read with 1 taken off, as the checkpoint's preprocessor has it (do_reduce_labels); "
    "--labels as-stored reads them as they are"
)
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
    labels: str = AS_STORED  # how stored values became classes, as --labels has it


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
    labels: str = field(default=AS_STORED, kw_only=True)  # as --labels has it
    notes: tuple[str, ...] = field(default=(), kw_only=True)  # what a reader of figures must know

    @property
    def record(self) -> DataRecord:
        """What a file that was made from it says of it."""
        return DataRecord(
            name=self.name, classes=self.classes, ignore_label=self.ignore_label,
            palette=self.palette, notes=self.notes, labels=self.labels,
        )  # fmt: skip

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, index: int) -> Sample:
        """One image with its truth; safe to call from several threads."""

    def files(self, index: int) -> tuple[Path, ...]:  # noqa: ARG002
        """What is read of one image alone; none where it is drawn, or in a file with others."""
        return ()

    def name_of(self, index: int) -> str:
        """Its name, without reading it."""
        return f"image {index}"

    def moved(self, moves: Mapping[Path, Path]) -> Self:  # noqa: ARG002
        """The same data, where files lie elsewhere; ``moves`` is asked when one is read."""
        return self

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
    reading: Reading  # how what is stored becomes classes
    moves: Mapping[Path, Path] = field(default_factory=dict, kw_only=True)  # that lie elsewhere

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, index: int) -> Sample:
        """Read a pair.

        Raises:
            DataError: if a file cannot be read or the two do not belong together.
        """
        image_path, label_path = self.pairs[index]
        picture = read_image(self.moves.get(image_path, image_path))
        image = picture.pixels
        stored = self.moves.get(label_path, label_path)
        labels = self.reading.labels(stored, len(self.classes), self.ignore_label)
        labels = _turned_with(picture, labels)
        if image.shape[:2] != labels.shape:
            raise DataError(
                f"{image_path.name} is {_size(image)} but {label_path} is {_size(labels)}; "
                "expected a label for every pixel"
            )
        return Sample(image_path.stem, image, labels)

    def files(self, index: int) -> tuple[Path, ...]:
        """Image and labels."""
        return self.pairs[index]

    def name_of(self, index: int) -> str:
        """As the sample has it."""
        return self.pairs[index][0].stem

    def moved(self, moves: Mapping[Path, Path]) -> Self:
        """As Dataset has it."""
        return replace(self, moves=moves)

    def _first(self, limit: int) -> Self:
        return replace(self, pairs=self.pairs[:limit])


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

    def name_of(self, index: int) -> str:
        """As the file has it."""
        return self.archive.images[index].name

    def __reduce__(self) -> tuple[Callable[[str, int], Dataset], tuple[str, int]]:
        """A process that is sent it opens the file itself."""
        return _reopened, (self.name, len(self))

    def _first(self, limit: int) -> Self:
        return replace(self, archive=self.archive.head(limit))


@dataclass(frozen=True)
class Subset(Dataset):
    """Some images of other data."""

    whole: Dataset
    chosen: tuple[int, ...]  # their indices there

    @classmethod
    def of(cls, whole: Dataset, chosen: Sequence[int]) -> Self:
        """All that is said of the whole holds."""
        return cls(
            whole.name, whole.classes, whole.ignore_label, whole, tuple(chosen),
            palette=whole.palette, protocol=whole.protocol, labels=whole.labels, notes=whole.notes,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.chosen)

    def load(self, index: int) -> Sample:
        """As the whole has it."""
        return self.whole.load(self.chosen[index])

    def files(self, index: int) -> tuple[Path, ...]:
        """As the whole has them."""
        return self.whole.files(self.chosen[index])

    def name_of(self, index: int) -> str:
        """As the whole has it."""
        return self.whole.name_of(self.chosen[index])

    def moved(self, moves: Mapping[Path, Path]) -> Self:
        """As Dataset has it."""
        return replace(self, whole=self.whole.moved(moves))

    def _first(self, limit: int) -> Self:
        return replace(self, chosen=self.chosen[:limit])


def check_limit(limit: int) -> None:
    """Refuse to take no image at all.

    Raises:
        DataError: if ``limit`` is below 1.
    """
    if limit < 1:
        raise DataError(f"expected --limit of at least 1, got {limit}")


def names_dataset(spec: str) -> bool:
    """Whether this is ``kind:DIR`` of a kind with label files, which a path could be, too."""
    kind, colon, _ = spec.partition(":")
    return bool(colon) and kind in _KINDS and kind != REFERENCE_KIND


def open_dataset(
    spec: str, size: tuple[int, int], labels: str | None = None, *, reduced: bool = False
) -> Dataset:
    """Open ``scenes``, ``scenes:N`` or ``kind:DIR``.

    Args:
        spec: as the user wrote it; ``~`` in a path is the person's home.
        size: (H, W) to draw scenes at; files have their own.
        labels: how label files are stored, as ``--labels`` has it; None: as the kind has it.
        reduced: whether the network was trained on labels with 1 taken off: then so are a
            folder's, unless ``labels`` says otherwise.

    Raises:
        DataError: if the kind is unknown or the folder is not laid out as its kind is.
    """
    kind, rest = _parsed(spec)
    if kind == "scenes":
        _refuse_labels(spec, labels)
        return _scenes(spec, rest, size)
    opener, root = _KINDS[kind], Path(rest).expanduser()
    if reduced and labels is None and kind == "folder":
        data = opener(spec, root, "minus-one")
        return replace(data, notes=(*data.notes, REDUCED))
    return opener(spec, root, labels)


def check_data(spec: str) -> None:
    """Refuse what names no data at all, before anything is loaded; open_dataset looks closer.

    Raises:
        DataError: if the kind is unknown or nothing is there.
    """
    kind, rest = _parsed(spec)
    root = Path(rest).expanduser()
    if kind != "scenes" and not root.exists():
        what = "file" if kind == REFERENCE_KIND else "folder"
        raise DataError(f"expected a {what} at {root}, found nothing there; check --data")


def _parsed(spec: str) -> tuple[str, str]:
    """Kind, and what it names: a path as it was written, or a number of scenes."""
    kind, colon, rest = spec.partition(":")
    if (kind in _KINDS and rest) or (kind == "scenes" and (rest or not colon)):
        return kind, rest
    kinds = (f"{name}:{'FILE' if name == REFERENCE_KIND else 'DIR'}" for name in _KINDS)
    forms = ", ".join(["scenes", "scenes:N", *kinds])
    raise DataError(f"expected --data as one of {forms}, got '{spec}'")


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


def _camvid(spec: str, root: Path, labels: str | None) -> Dataset:
    return _open(spec, "camvid", root, CAMVID, labels=labels)


def _official(spec: str, root: Path, labels: str | None) -> Dataset:
    """ADE20K, Cityscapes or COCO-Stuff, of which the last is evaluated as the first is."""
    kind = spec.partition(":")[0]
    protocol = "ade20k" if kind == "cocostuff164k" else kind
    return _open(spec, kind, root, class_set(kind), labels=labels, protocol=protocol)


def _folder(spec: str, root: Path, labels: str | None) -> Dataset:
    found = find_folder(root, labels)
    classes = ClassSet(found.classes, found.palette, FOLDER_VOID)
    return _dataset(spec, classes, found.pairs, found.reading, labels, notes=found.notes)


def _reference(spec: str, file: Path, labels: str | None) -> Dataset:
    _refuse_labels(spec, labels)
    archive = Archive.open(file, REFERENCE_KIND)
    try:
        data = DataRecord.model_validate(archive.about.get("data"))
    except ValidationError as error:
        raise DataError(f"{file} does not say what its images are; make it again") from error
    if not archive.has_pixels:
        raise DataError(f"{file} was made without images; name the data it was made from")
    return ReferenceDataset(
        spec, data.classes, data.ignore_label, archive, palette=data.palette,
        protocol=str(archive.about.get("protocol")), notes=data.notes, labels=data.labels,
    )  # fmt: skip


def _reopened(spec: str, count: int) -> Dataset:
    return open_dataset(spec, (0, 0)).head(count)


def _open(
    spec: str, kind: str, root: Path, classes: ClassSet, *, labels: str | None,
    protocol: str = "native",
) -> FileDataset:  # fmt: skip
    found = find_pairs(kind, root)
    reading = found.reading or stored_as_they_are(classes.classes, classes.palette)
    return _dataset(
        spec, classes, found.pairs, reading, labels, notes=found.notes, protocol=protocol
    )


def _dataset(
    spec: str, classes: ClassSet, pairs: Pairs, reading: Reading, labels: str | None, *,
    notes: tuple[str, ...], protocol: str = "native",
) -> FileDataset:  # fmt: skip
    """Read as ``--labels`` says, where it does."""
    if labels is not None:
        reading = reading_of(labels, classes.classes, classes.palette)
        notes = (*notes, f"labels are read as --labels {labels} says")
    reading = replace(reading, shared=shared_palette(label for _, label in pairs))
    return FileDataset(
        spec, classes.classes, classes.ignore_label, pairs, reading,
        palette=classes.palette or None, protocol=protocol, labels=reading.name, notes=notes,
    )  # fmt: skip


def _refuse_labels(spec: str, labels: str | None) -> None:
    if labels is not None:
        raise DataError(f"--labels is for label files, and {spec} has none; leave it out")


_KINDS: dict[str, Callable[[str, Path, str | None], Dataset]] = {
    "camvid": _camvid,
    "folder": _folder,
    "ade20k": _official,
    "cityscapes": _official,
    "cocostuff164k": _official,
    REFERENCE_KIND: _reference,
}


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
