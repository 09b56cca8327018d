"""Tables that turn stored label values into classes, by the names that ``--labels`` knows.

A table is uint8 (256,): the class of each stored value, VOID where it is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOID = 255
AS_STORED = "as-stored"

Table = NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """A usual way of storing labels that are not the classes themselves."""

    said: str  # what is done, as a sentence has it: "with 1 taken off"
    table: Callable[[int], Table]  # of the number of classes


def table_of(pairs: Iterable[tuple[int, int]]) -> Table:
    """Values and their classes; every other value is void."""
    table = np.full(256, VOID, np.uint8)
    for value, label in pairs:
        table[value] = label
    return table


def unchanged(classes: int) -> Table:
    """Values that are the classes."""
    return table_of((label, label) for label in range(classes))


def _minus_one(classes: int) -> Table:
    return table_of((label + 1, label) for label in range(classes))


def _plus_one(classes: int) -> Table:
    return table_of((label - 1, label) for label in range(1, classes))


def _zero_void(classes: int) -> Table:
    return table_of((label, label) for label in range(1, classes))


def _binary(classes: int) -> Table:
    """Zero, and anything else: 0/255, 0/1."""
    return (
        table_of((value, min(value, 1)) for value in range(256)) if classes == 2 else table_of(())
    )


def _over(factor: int) -> Callable[[int], Table]:
    def table(classes: int) -> Table:
        return table_of((factor * label, label) for label in range(min(classes, 255 // factor + 1)))

    return table


WAYS: Mapping[str, Way] = {
    "minus-one": Way("with 1 taken off (0 is void)", _minus_one),
    "plus-one": Way("with 1 added", _plus_one),
    "zero-void": Way("with 0 as void", _zero_void),
    "binary": Way("with everything above 0 as class 1", _binary),
    "over-17": Way("divided by 17", _over(17)),
    "over-85": Way("divided by 85", _over(85)),
    "over-255": Way("divided by 255", _over(255)),
}


def fitting(values: Iterable[int], classes: int) -> str | None:
    """The way that makes classes of values that are none as they are, where one does.

    Zero may become void, and 255 always may; every other value has to become a class.
    """
    there = {value for value in values if value != VOID}
    for name in ("over-17", "over-85", "over-255", "binary", "minus-one"):
        table = WAYS[name].table(classes)
        left = {int(table[value]) for value in there if value != 0}
        with_void = set(values) if name in {"binary", "over-17", "over-85", "over-255"} else there
        if VOID in with_void:
            left.add(int(table[VOID]))
        if left and VOID not in left:
            return name
    return None
