"""Class names, palettes and void labels of the data sets this package knows."""

from __future__ import annotations

from dataclasses import dataclass


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
