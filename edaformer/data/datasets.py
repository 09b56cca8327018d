"""Data sets with ground truth: images, label maps, class names, the void label.

scenes[:N]   street scenes drawn at the size asked for, from seeds that were never trained on; the
             first N of them, else SCENES
camvid:DIR   the CamVid layout: DIR/val/*.png and DIR/valannot/*.png, labels 0..10, 11 void
folder:DIR   any other: DIR/images/*, DIR/labels/*.png of the same stem, DIR/classes.txt with
             one name a line; label 255 is void
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import Self

from edaformer.data.classes import CAMVID
from edaformer.data.scenes import LARGEST, SMALLEST, draw_scene, held_out_seed
from edaformer.errors import DataError

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FOLDER_VOID = 255
SCENES = 200  # held-out scenes of the default data set


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

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Sample]: ...

    def head(self, limit: int | None) -> Self:
        """The first ``limit`` images; None takes all."""
        if limit is None:
            return self
        if limit < 1:
            raise DataError(f"expected --limit of at least 1, got {limit}")
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

    def __iter__(self) -> Iterator[Sample]:
        for index in range(self.count):
            scene = draw_scene(held_out_seed(index), *self.size)
            yield Sample(f"scene {index}", scene.image, scene.labels)

    def _first(self, limit: int) -> Self:
        return replace(self, count=min(limit, self.count))


@dataclass(frozen=True)
class FileDataset(Dataset):
    """Pairs of image and label files."""

    pairs: tuple[tuple[Path, Path], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Sample]:
        for image_path, label_path in self.pairs:
            image, labels = read_image(image_path), read_labels(label_path)
            if image.shape[:2] != labels.shape:
                raise DataError(
                    f"{image_path.name} is {_size(image)} but {label_path} is {_size(labels)}; "
                    "expected a label for every pixel"
                )
            self._check_labels(label_path, labels)
            yield Sample(image_path.stem, image, labels)

    def _first(self, limit: int) -> Self:
        return replace(self, pairs=self.pairs[:limit])

    def _check_labels(self, path: Path, labels: NDArray[np.uint8]) -> None:
        wrong = np.unique(labels[(labels >= len(self.classes)) & (labels != self.ignore_label)])
        if wrong.size:
            raise DataError(
                f"{path} holds label {wrong[0]}; expected 0..{len(self.classes) - 1} or "
                f"{self.ignore_label} for void. Convert the labels or check classes.txt"
            )


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
        forms = ", ".join(["scenes", "scenes:N", *(f"{name}:DIR" for name in _KINDS)])
        raise DataError(f"expected --data as one of {forms}, got '{spec}'")
    root = Path(rest)
    if not root.is_dir():
        raise DataError(f"expected a folder at {root}, found nothing there; check --data")
    return opener(spec, root)


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as uint8 RGB (H, W, 3).

    Raises:
        DataError: if it cannot be read as an image.
    """
    try:
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image; replace it or take it out") from error


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


def _scenes(spec: str, count: str, size: tuple[int, int]) -> Dataset:
    if count and not (count.isascii() and count.isdigit() and 0 < int(count[:10]) < 10**9):
        raise DataError(f"expected scenes:N with N from 1 on, got '{spec}'")
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise DataError(
            f"scenes are drawn from {SMALLEST}x{SMALLEST} to {LARGEST}x{LARGEST}, not at "
            f"{size[0]}x{size[1]}; name other data with --data"
        )
    classes, void = CAMVID.classes, CAMVID.ignore_label
    return SceneDataset(spec, classes, void, size, int(count) if count else SCENES)


def _camvid(spec: str, root: Path) -> Dataset:
    pairs = _pairs(root, "val", "valannot")
    return FileDataset(spec, CAMVID.classes, CAMVID.ignore_label, pairs)


def _folder(spec: str, root: Path) -> Dataset:
    names = root / "classes.txt"
    if not names.is_file():
        raise DataError(f"expected class names, one a line, in {names}; found none")
    text = names.read_text(encoding="utf-8-sig", errors="replace")
    classes = tuple(line for part in text.splitlines() if (line := part.strip()))
    if not 1 <= len(classes) <= FOLDER_VOID:
        raise DataError(f"expected 1 to {FOLDER_VOID} class names in {names}, got {len(classes)}")
    return FileDataset(spec, classes, FOLDER_VOID, _pairs(root, "images", "labels"))


_KINDS: dict[str, Callable[[str, Path], Dataset]] = {"camvid": _camvid, "folder": _folder}


def _pairs(root: Path, images: str, labels: str) -> tuple[tuple[Path, Path], ...]:
    """Image files with the label PNG of the same stem, sorted by name."""
    for folder in (root / images, root / labels):
        if not folder.is_dir():
            raise DataError(
                f"expected {root / images} and {root / labels}, but {folder} is not there"
            )
    files = sorted(p for p in (root / images).iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{root / images} holds no images ({', '.join(_IMAGE_SUFFIXES)})")
    pairs = [(file, root / labels / f"{file.stem}.png") for file in files]
    missing = [label for _, label in pairs if not label.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(pairs)} images have no labels (first: {missing[0]}); "
            "complete the data set"
        )
    return tuple(pairs)


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
