"""Is the truth the truth? A verdict on the labels, before any figure rests on them.

PyTorch's labels are the witness: a network that was trained on these classes finds most of them. So
where the same truth, read in another usual way, agrees with it far better, it was read wrongly. The
limits below lie between what good data reaches and what each mistake gives, both measured
(docs/validation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edaformer.data.truth.values import AS_STORED, VOID, WAYS, Table, unchanged
from edaformer.evaluation.metrics import Confusion, score

Kind = Literal["relabelled", "worse-than-constant", "nothing-counted"]
Colour = tuple[int, int, int]

_FAR = 0.5  # of what the relabelling gives: as it is, at most
_GAIN = 8.0  # points of mIoU that a relabelling gives, at least
_STEP = 5.0  # points of IoU, of two classes together, that one swap gives, at least
_MOVED = 25.0  # points of IoU that the classes of a permutation have together, at least
_SEEN = 0.05  # of the pixels stored as 0 that PyTorch finds, at most, where 0 is void
_TIMES = 3.0  # as often, at least, PyTorch says 1 where 255 is stored as where 0 is
_CHANCE = 0.05  # Cohen's kappa of answers that have nothing to do with the truth, at most
_WRONG = 0.1  # of the pixels that PyTorch has to miss, at least, before it is worse than a constant


@dataclass(frozen=True)
class Finding:
    """What is wrong with the truth, and what mends it."""

    kind: Kind
    text: str  # a sentence
    option: str | None = None  # that mends it; None where none is known to
    as_it_is: float | None = None  # mIoU of PyTorch
    mended: float | None = None  # the same, with the option
    lines: tuple[str, ...] = ()  # of the file that the option names

    @property
    def refusal(self) -> str:
        """What is said where it ends the work."""
        return f"{self.text}; --trust-labels takes them as they are"


@dataclass(frozen=True)
class Stored:
    """The truth's labels against PyTorch's, void included."""

    counts: NDArray[np.int64]  # (256, classes): label of the truth, PyTorch's class
    classes: tuple[str, ...]
    void: int  # the label of void
    labels: str = AS_STORED  # how stored values became these labels
    palette: Sequence[Colour] | None = None

    def read(self, table: Table) -> Confusion:
        """The confusion matrix under another reading of the labels."""
        made = np.zeros((len(self.classes),) * 2, np.int64)
        taken = table < len(self.classes)
        np.add.at(made, table[taken], self.counts[taken])
        return made

    @property
    def table(self) -> Table:
        """The labels as they are read."""
        table = unchanged(len(self.classes))
        table[self.void] = VOID
        return table


def stored_counts(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int
) -> Confusion:
    """(256, classes): the pixels of an image by the truth's label and PyTorch's."""
    pairs = np.bincount(
        (truth.astype(np.int64) * classes + predicted).ravel(), minlength=256 * classes
    )
    return pairs.reshape(256, classes).astype(np.int64)


def examine(stored: Stored) -> Finding | None:
    """What is wrong with the truth; None where nothing is found."""
    confusion = stored.read(stored.table)
    for look in (_relabelled, _zero_as_void, _foreground_as_void, _permuted):
        found = look(stored, confusion)
        if found is not None:
            return found
    if not confusion.sum():
        return Finding("nothing-counted", _nothing(stored), None)
    return _constant(stored, confusion)


def _relabelled(stored: Stored, confusion: Confusion) -> Finding | None:
    """Read in another usual way, all labels at once."""
    own = _miou(confusion)
    best: tuple[float, str, str, tuple[str, ...]] | None = None
    for option, said, table, lines in _readings(stored):
        other = _miou(stored.read(table))
        if np.nan_to_num(own) > min(_FAR * other, other - _GAIN) or np.isnan(other):
            continue
        if best is None or other > best[0]:
            best = other, option, said, lines
    if best is None:
        return None
    mended, option, said, lines = best
    return _mendable(own, mended, option, said, lines)


def _readings(stored: Stored) -> Iterator[tuple[str, str, Table, tuple[str, ...]]]:
    """Option, words, table and lines of every reading that is tried."""
    count = len(stored.classes)
    there = np.flatnonzero(stored.counts.sum(axis=1))
    for name in ("minus-one", "plus-one", "over-17", "over-85", "over-255"):
        table = WAYS[name].table(count)
        factor = int(name.removeprefix("over-")) if name.startswith("over-") else 1
        if (there % factor == 0).all():
            yield _option(stored, name), WAYS[name].said, table, ()
    for words, order in _palette_orders(stored):
        for first in (0, 1):  # where void's black was a colour, too, it came first
            table = np.full(256, VOID, np.uint8)
            table[first : first + count] = order
            said = f"as places in the palette sorted by {words}"
            yield "--labels FILE", said, table, _lines(stored, table)


def _palette_orders(stored: Stored) -> Iterator[tuple[str, list[int]]]:
    """The classes as tools number the colours they meet."""
    palette = stored.palette
    if palette is None or len(palette) != len(stored.classes):
        return
    keys: dict[str, Callable[[int], tuple[int, ...]]] = {
        "red, green, blue": lambda at: tuple(palette[at]),
        "blue, green, red": lambda at: tuple(palette[at][::-1]),
        "brightness": lambda at: (_brightness(palette[at]),),
    }
    for words, key in keys.items():
        yield words, sorted(range(len(palette)), key=key)


def _brightness(colour: Colour) -> int:
    red, green, blue = colour
    return 299 * red + 587 * green + 114 * blue  # ITU-R BT.601, as Pillow makes grey


def _zero_as_void(stored: Stored, confusion: Confusion) -> Finding | None:
    """0 stands for void: PyTorch almost never finds its first class where 0 is stored."""
    zero = stored.counts[0]
    own, other = _miou(confusion), _miou(stored.read(WAYS["zero-void"].table(len(stored.classes))))
    enough = 20 * zero.sum() >= confusion.sum() > zero.sum() > 0
    if not enough or zero[0] > _SEEN * zero.sum() or other - own < _GAIN:
        return None
    return _mendable(own, other, _option(stored, "zero-void"), WAYS["zero-void"].said)


def _foreground_as_void(stored: Stored, confusion: Confusion) -> Finding | None:
    """0 and 255 for 0 and 1: what is stored as 255 is taken for void."""
    counts = stored.counts
    if len(stored.classes) != 2 or stored.void != VOID or counts[1:VOID].any():
        return None
    background, foreground = counts[0], counts[VOID]
    if not (background.sum() and foreground.sum()):
        return None
    here, there = foreground[1] / foreground.sum(), background[1] / background.sum()
    if here < _TIMES * there or here == 0:
        return None
    own, other = _miou(confusion), _miou(stored.read(WAYS["binary"].table(2)))
    said = "with 255 as class 1 and not as void"
    return _mendable(own, other, _option(stored, "binary"), said)


def _permuted(stored: Stored, confusion: Confusion) -> Finding | None:
    """Classes stored under each other's numbers, two or more."""
    order, rows = np.arange(len(stored.classes)), confusion.copy()
    while True:
        gains = _swap_gains(rows)
        a, b = np.unravel_index(int(gains.argmax()), gains.shape)
        if gains[a, b] < _STEP:
            break
        rows[[a, b]], order[[a, b]] = rows[[b, a]], order[[b, a]]
    moved = np.flatnonzero(order != np.arange(len(order)))
    before, after = _iou(confusion)[moved].sum(), _iou(rows)[moved].sum()
    if not moved.size or after < _MOVED or before > _FAR * after:
        return None
    table = unchanged(len(order))
    table[order] = np.arange(len(order))
    if moved.size == 2:
        first, second = (stored.classes[at] for at in moved)
        said = f"with '{first}' and '{second}' swapped"
    else:
        said = f"with {moved.size} classes under each other's numbers"
    own, other = _miou(confusion), _miou(rows)
    return _mendable(own, other, "--labels FILE", said, _lines(stored, table))


def _swap_gains(rows: Confusion) -> NDArray[np.float64]:
    """(classes, classes): points of IoU of both together that swapping two rows gives.

    Both have pixels, and in both rows the other class is what PyTorch says more often.
    """
    hits, predicted, truth = np.diag(rows), rows.sum(axis=0), rows.sum(axis=1)
    union = truth[:, None] + predicted[None, :] - rows
    crossed = np.where(union > 0, 100 * rows / np.maximum(union, 1), 0.0)
    own = np.diag(crossed)
    gains = crossed + crossed.T - own[:, None] - own[None, :]
    instead = rows > hits[:, None]
    gains[~(instead & instead.T)] = 0
    return np.triu(gains, 1)


def _constant(stored: Stored, confusion: Confusion) -> Finding | None:
    """PyTorch is worse than whoever always says the commonest class, and no better than chance."""
    total = confusion.sum()
    truth, predicted = confusion.sum(axis=1) / total, confusion.sum(axis=0) / total
    right, common = float(np.trace(confusion) / total), float(truth.max())
    chance = float((truth * predicted).sum())
    kappa = (right - chance) / (1 - chance) if chance < 1 else 1.0
    if right >= common or kappa > _CHANCE or 1 - right < _WRONG:
        return None
    name = stored.classes[int(truth.argmax())]
    text = (
        f"PyTorch is right on {right:.1%} of the pixels, and always saying '{name}' would be on "
        f"{common:.1%}: labels, class names or checkpoint are of something else"
    )
    return Finding("worse-than-constant", text, None, _miou(confusion))


def _nothing(stored: Stored) -> str:
    if not stored.counts.sum():
        return "there is no pixel at all: no figure can be had"
    return (
        f"every pixel of the truth is void ({stored.void}), so nothing is counted: the labels are "
        "of something else, or stored in another way"
    )


def _mendable(
    own: float, mended: float, option: str, said: str, lines: tuple[str, ...] = ()
) -> Finding:
    listed = f" of the lines {', '.join(map(repr, lines))}" if lines else ""
    before = "nothing to count" if np.isnan(own) else f"{own:.1f} mIoU"
    text = f"the labels as they are give PyTorch {before}, {said} {mended:.1f}: {option}{listed}"
    return Finding("relabelled", text, option, None if np.isnan(own) else own, mended, lines)


def _option(stored: Stored, name: str) -> str:
    """The option that reads labels so, where they were read in another way already."""
    undone = {("minus-one", "plus-one"), ("plus-one", "minus-one")}
    if (stored.labels, name) in undone:
        return f"--labels {AS_STORED}"
    return f"--labels {name}" if stored.labels == AS_STORED else "--labels FILE"


def _lines(stored: Stored, table: Table) -> tuple[str, ...]:
    """Of a file that reads labels by a table: value and name."""
    return tuple(
        f"{value} {stored.classes[label]}"
        for value, label in enumerate(table.tolist())
        if label < len(stored.classes)
    )


def _iou(confusion: Confusion) -> NDArray[np.float64]:
    """Of every class in points, 0 where it is absent."""
    made: NDArray[np.float64] = np.nan_to_num(np.array(score(confusion).iou))
    return made


def _miou(confusion: Confusion) -> float:
    """NaN where nothing is counted."""
    return score(confusion).miou if confusion.sum() else float("nan")
