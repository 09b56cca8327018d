"""Class names, palettes and void labels of the data sets this package knows.

The long lists lie in ``names/``, one class a line in the order of the labels: red, green, blue and
the name, as the data sets and the published release have them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

_NAMES = Path(__file__).parent / "names"


@dataclass(frozen=True)
class ClassSet:
    """The classes of a data set; a label is an index into them."""

    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]  # RGB
    ignore_label: int


# Brostow et al. 2009, in the eleven-class form that SegNet's authors published
CAMVID = ClassSet(
    classes=(
        "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car",
        "pedestrian", "bicyclist",
    ),
    palette=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
        (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    ignore_label=11,
)  # fmt: skip


@functools.cache
def class_set(name: str) -> ClassSet:
    """The classes of ``ade20k``, ``cityscapes`` or ``cocostuff164k``; void is 255 in all three."""
    lines = (_NAMES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    fields = [line.split(maxsplit=3) for line in lines]
    return ClassSet(
        classes=tuple(name for *_, name in fields),
        palette=tuple((int(red), int(green), int(blue)) for red, green, blue, _ in fields),
        ignore_label=255,
    )
