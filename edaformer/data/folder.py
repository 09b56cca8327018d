"""``folder:`` data sets: images, labels and classes.txt; or as CVAT and Pascal VOC lay them out.

Of the latter, ``ImageSets/Segmentation/val.txt`` says which images are taken; where there is none,
the only list that there is; where there is no list, all images with labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edaformer.data.layouts import IMAGE_SUFFIXES, Pairs, find_pairs
from edaformer.data.truth.label_file import LabelFile, read_label_file, read_text
from edaformer.data.truth.reading import Colour, Reading, of_file, stored_as_they_are
from edaformer.errors import DataError

OURS = ("images", "labels")
VOC = ("JPEGImages", "SegmentationClass")
NAMES = ("classes.txt", "labelmap.txt")
_LISTS = "ImageSets/Segmentation"
_MOST = 255  # classes, void being 255


@dataclass(frozen=True)
class Folder:
    """What was found."""

    classes: tuple[str, ...]
    palette: tuple[Colour, ...]  # empty: none is known
    pairs: Pairs
    reading: Reading
    notes: tuple[str, ...] = ()


def find_folder(root: Path, labels: str | None) -> Folder:
    """The pairs and classes of a folder.

    Args:
        root: the folder.
        labels: what ``--labels`` says; a file of it may stand in for the class list.

    Raises:
        DataError: naming all that is missing.
    """
    if not root.is_dir():
        raise DataError(f"expected a folder at {root}, found nothing there; check --data")
    voc = any((root / name).is_dir() for name in VOC)
    listed = [root / name for name in NAMES if (root / name).is_file()]
    if not listed and labels is not None and Path(labels).is_file():
        listed = [Path(labels)]
    _refuse_missing(root, VOC if voc else OURS, named=bool(listed))
    if not listed:
        raise DataError(f"expected class names, one a line, in {root / NAMES[0]}; found none")
    files = [(path, read_label_file(path)) for path in listed]
    classes = _classes(*files[0])
    palette, reading = _colours(files, classes)
    if voc:
        pairs, notes = _voc_pairs(root)
    else:
        found = find_pairs("folder", root)
        pairs, notes = found.pairs, found.notes
    return Folder(classes, palette, pairs, reading, notes)


def _refuse_missing(root: Path, folders: tuple[str, str], *, named: bool) -> None:
    """Two things or more; a single one has a message of its own."""
    missing = [f"{name}/" for name in folders if not (root / name).is_dir()]
    missing += [] if named else [NAMES[0] if folders == OURS else NAMES[1]]
    if len(missing) < 2 and not (missing and folders == VOC):
        return
    inside = sorted(path.name for path in root.iterdir())
    more = f" and {len(inside) - 4} more" if len(inside) > 4 else ""
    raise DataError(
        f"{root} lacks {', '.join(missing)}; expected images/, labels/ and classes.txt, or "
        f"JPEGImages/, SegmentationClass/ and labelmap.txt; it holds "
        f"{', '.join(inside[:4]) + more or 'nothing'}"
    )


def _classes(path: Path, file: LabelFile) -> tuple[str, ...]:
    names = file.names
    if file.values:  # in the order of the values
        names = tuple(name for _, name in sorted(file.values))
    names = tuple(
        dict.fromkeys(name for name in names if name.casefold() not in {"void", "ignore"})
    )
    if not 1 <= len(names) <= _MOST:
        raise DataError(f"expected 1 to {_MOST} class names in {path}, got {len(names)}")
    return names


def _colours(
    files: list[tuple[Path, LabelFile]], classes: tuple[str, ...]
) -> tuple[tuple[Colour, ...], Reading]:
    """The first file with colours, or values, says how labels are read."""
    for path, file in files:
        if file.colours or file.values:
            reading = of_file(path, file, classes)
            own = {label: colour for colour, label in reading.colours.items()}
            palette = tuple(own[at] for at in range(len(classes))) if file.colours else ()
            return palette, reading
    return (), stored_as_they_are(classes, ())


def _voc_pairs(root: Path) -> tuple[Pairs, tuple[str, ...]]:
    images = {
        path.stem: path
        for path in sorted((root / VOC[0]).iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    }
    labels = {path.stem: path for path in sorted((root / VOC[1]).glob("*.png"))}
    chosen = _list_of(root)
    if chosen is None:
        stems = [stem for stem in images if stem in labels]
        said = f"{len(stems)} of {len(images)} images have labels; all of these are taken"
    else:
        stems = [line.split("/")[-1].strip() for line in read_text(chosen).split("\n")]
        stems = [stem for stem in stems if stem]
        said = f"{len(stems)} images, as {_LISTS}/{chosen.name} lists them"
    lacking = [stem for stem in stems if stem not in images or stem not in labels]
    if lacking or not stems:
        first = f" (first: {lacking[0]})" if lacking else ""
        raise DataError(
            f"{len(lacking)} of {len(stems)} images that are to be taken lack their file in "
            f"{VOC[0]} or their PNG in {VOC[1]} of {root}{first}; complete the data set"
        )
    return tuple((images[stem], labels[stem]) for stem in sorted(stems)), (said,)


def _list_of(root: Path) -> Path | None:
    """The list of the images to take; None where there is none."""
    lists = sorted((root / _LISTS).glob("*.txt"))
    for path in lists:
        if path.stem == "val":
            return path
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        raise DataError(
            f"expected {root / _LISTS}/val.txt or one list alone, found {names}; name the one to "
            "take val.txt"
        )
    return lists[0] if lists else None
