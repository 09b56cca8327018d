"""The official layouts of the benchmarks, and how a tree on disk is matched to one.

ADE20K (ADEChallengeData2016), Cityscapes (leftImg8bit and gtFine) and COCO-Stuff 164k are taken as
their archives unpack, with the label files of the published release's protocol or, where those are
absent, the ones in the official download, mapped to the same classes. A tree that does not fit is
described by what it lacks: nothing there, still packed, one level too high, half extracted, or
something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edaformer.data.truth.reading import Reading
from edaformer.data.truth.values import VOID, table_of
from edaformer.errors import DataError
from edaformer.pictures import PICTURE_SUFFIXES, RAW_SUFFIXES

# Camera raws too: they are images, and the reader says that it cannot read them
IMAGE_SUFFIXES = tuple(sorted(PICTURE_SUFFIXES | RAW_SUFFIXES))
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z")
_SHOWN = 4  # names of a longer list

Pairs = tuple[tuple[Path, Path], ...]


@dataclass(frozen=True)
class LabelFiles:
    """One way the labels of an image are stored."""

    tail: str  # what follows the image's stem in the file's name
    values: str = "as stored"  # key of READINGS
    said: str | None = None  # what the person is told when these are taken


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps its images and labels, relative to its root."""

    title: str
    images: str
    labels: str
    image_tail: str = ""  # a common end of the images' stems, which the labels do not share
    image_suffixes: tuple[str, ...] = (".jpg",)
    label_files: tuple[LabelFiles, ...] = (LabelFiles(".png"),)  # first come, first served
    nested: bool = False  # one folder a city, in images and labels alike
    count: int | None = None  # images of the official split

    @property
    def expected(self) -> str:
        """The layout in words."""
        deep = "*/" if self.nested else ""
        image = f"{self.images}/{deep}*{self.image_tail}{self.image_suffixes[0]}"
        labels = " or ".join(f"{self.labels}/{deep}*{kind.tail}" for kind in self.label_files)
        return f"{self.title} as {image} with {labels}"


@dataclass(frozen=True)
class Found:
    """The pairs of a tree, how their labels are read, and what is to be said about them."""

    pairs: Pairs
    reading: Reading | None  # None: as stored
    notes: tuple[str, ...]


LAYOUTS = {
    "camvid": Layout("CamVid", "val", "valannot", image_suffixes=IMAGE_SUFFIXES),
    "folder": Layout("a folder", "images", "labels", image_suffixes=IMAGE_SUFFIXES),
    "ade20k": Layout(
        "ADE20K", "images/validation", "annotations/validation",
        label_files=(LabelFiles(".png", "one less"),), count=2000,
    ),
    "cityscapes": Layout(
        "Cityscapes", "leftImg8bit/val", "gtFine/val",
        image_tail="_leftImg8bit", image_suffixes=(".png",), nested=True, count=500,
        label_files=(
            LabelFiles("_gtFine_labelTrainIds.png"),
            LabelFiles("_gtFine_labelIds.png", "Cityscapes ids", "labelIds mapped to train ids"),
        ),
    ),
    "cocostuff164k": Layout(
        "COCO-Stuff 164k", "images/val2017", "annotations/val2017", count=5000,
        label_files=(
            LabelFiles("_labelTrainIds.png"),
            LabelFiles(".png", "COCO ids", "category ids mapped to train ids"),
        ),
    ),
}  # fmt: skip

# cityscapesScripts, helpers/labels.py: the ids of train ids 0..18
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
# COCO's categories 12, 26, 29, ... were never annotated; the maps store the category less one
_COCO_UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_COCO_IDS = tuple(value for value in range(182) if value not in _COCO_UNUSED)


def find_pairs(kind: str, root: Path) -> Found:
    """The image and label files of a tree of this kind, sorted by name.

    Raises:
        DataError: if the tree is not laid out so, saying what it lacks.
    """
    layout = LAYOUTS[kind]
    _check_tree(layout, root)
    images, others = _images(layout, root)
    chosen, labels = _labels(layout, root)
    pairs = tuple((image, _label_of(layout, root, image, chosen)) for image in images)
    _check_complete(layout, pairs, labels)
    notes = [chosen.said] if chosen.said else []
    if others:
        files = "1 file that is" if len(others) == 1 else f"{len(others)} files that are"
        names = _listed([file.name for file in others])
        notes.append(f"{layout.images}/ also holds {files} no image by suffix: {names}")
    if layout.count is not None and len(pairs) != layout.count:
        notes.append(f"{len(pairs)} of the {layout.count} validation images of {layout.title}")
    return Found(pairs, READINGS[chosen.values], tuple(notes))


def _reading(ids: Iterable[int], highest: int) -> Reading:
    """Stored values to classes, in the order of ``ids``; every other value is void."""
    legal = np.arange(256) <= highest
    legal[VOID] = True
    table = table_of((value, label) for label, value in enumerate(ids))
    return Reading(table, legal, name="the data set's own")


READINGS: dict[str, Reading | None] = {
    "as stored": None,
    "one less": _reading(range(1, 151), 150),
    "Cityscapes ids": _reading(_CITYSCAPES_IDS, 33),
    "COCO ids": _reading(_COCO_IDS, 181),
}


def _check_tree(layout: Layout, root: Path) -> None:
    """Both folders are there, or the message says which of the usual mistakes was made."""
    if root.is_file():
        raise DataError(
            f"expected the folder of {layout.expected}, but {root} is a file; "
            "unpack it if it is an archive, and name the folder"
        )
    if not root.is_dir():
        raise DataError(f"expected a folder at {root}, found nothing there; check --data")
    missing = [name for name in (layout.images, layout.labels) if not (root / name).is_dir()]
    if not missing:
        return
    inside = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    raise DataError(f"expected {layout.expected} in {root}, but {_mistake(layout, root, inside)}")


def _mistake(layout: Layout, root: Path, inside: list[str]) -> str:
    if not inside:
        return "it is empty: nothing was unpacked there yet"
    for name in inside:
        below = root / name
        if all((below / part).is_dir() for part in (layout.images, layout.labels)):
            return f"that is one folder further down; name {below}"
    for here, absent in ((layout.images, layout.labels), (layout.labels, layout.images)):
        if (root / here).is_dir():
            return f"{root / absent} is not there (half extracted?); unpack that part too"
    archives = [name for name in inside if name.lower().endswith(_ARCHIVES)]
    if archives:
        return f"{archives[0]} is still packed; unpack it there"
    parents = [name for name in (layout.images, layout.labels) if (root / name).parent.is_dir()]
    if any("/" in name for name in parents):
        return f"{root / parents[0]} is not there; unpack the validation split"
    return f"{root / layout.images} is not there; it holds {_listed(inside)}: another data set?"


def _images(layout: Layout, root: Path) -> tuple[list[Path], list[Path]]:
    """The images, and the files that are none."""
    files = _files(layout, root / layout.images)
    images = [
        file
        for file in files
        if file.suffix.lower() in layout.image_suffixes and file.stem.endswith(layout.image_tail)
    ]
    if images:
        return images, [file for file in files if file not in set(images)]
    wanted = ", ".join(f"*{layout.image_tail}{suffix}" for suffix in layout.image_suffixes[:_SHOWN])
    found = f"only {_listed([file.name for file in files])}" if files else "is empty"
    raise DataError(f"{root / layout.images} holds no images ({wanted}): {found}; unpack them")


def _labels(layout: Layout, root: Path) -> tuple[LabelFiles, list[Path]]:
    """The first kind of label file that is there, and all files of it."""
    files = _files(layout, root / layout.labels)
    for kind in layout.label_files:
        chosen = [file for file in files if file.name.endswith(kind.tail)]
        if chosen:
            return kind, chosen
    wanted = " or ".join(f"*{kind.tail}" for kind in layout.label_files)
    found = f"only {_listed([file.name for file in files])}" if files else "is empty"
    raise DataError(f"{root / layout.labels} holds no labels ({wanted}): {found}; unpack them")


def _files(layout: Layout, folder: Path) -> list[Path]:
    pattern = "*/*" if layout.nested else "*"
    return sorted(p for p in folder.glob(pattern) if p.is_file() and not p.name.startswith("."))


def _label_of(layout: Layout, root: Path, image: Path, kind: LabelFiles) -> Path:
    within = image.parent.relative_to(root / layout.images)
    stem = image.stem.removesuffix(layout.image_tail)
    return root / layout.labels / within / f"{stem}{kind.tail}"


def _check_complete(layout: Layout, pairs: Pairs, labels: list[Path]) -> None:
    taken: dict[Path, Path] = {}
    for image, label in pairs:
        if label in taken:
            raise DataError(f"{taken[label]} and {image} share {label}; take one of them out")
        taken[label] = image
    there = set(labels)
    missing = [label for label in taken if label not in there]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(pairs)} images have no labels (first: {missing[0]}); "
            "complete the data set"
        )
    alone = [label for label in labels if label not in taken]
    if alone:
        raise DataError(
            f"{len(alone)} of {len(labels)} label files have no image (first: {alone[0]}); "
            f"complete the data set: {layout.expected}"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
