"""How a label file is read: its values by a table, its colours by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edaformer.data.truth.label_file import VOID_NAMES, LabelFile, read_label_file
from edaformer.data.truth.pixels import Palette, Pixels, read_pixels
from edaformer.data.truth.values import (
    AS_STORED,
    VOID,
    WAYS,
    Table,
    fitting,
    table_of,
    unchanged,
)
from edaformer.errors import DataError

Colour = tuple[int, int, int]
VOC_VOID = (224, 224, 192)


@dataclass(frozen=True)
class Reading:
    """Of all label files of a data set."""

    table: Table  # class of each stored value, VOID where it is none
    legal: NDArray[np.bool_]  # (256,): the values that may be stored
    colours: Mapping[Colour, int] = field(default_factory=dict)  # class of each, or VOID
    name: str = AS_STORED  # as --labels has it
    said: bool = False  # whether the user said so: then grey RGB holds values, too
    shared: Palette | None = None  # of all label files

    def labels(self, path: Path, classes: int, void: int) -> NDArray[np.uint8]:
        """The classes of a file, (H, W); ``void`` where there is none.

        Raises:
            DataError: if the file cannot be read, or holds what is no class.
        """
        pixels = read_pixels(path, self.shared, self.colours)
        if pixels.values is not None:
            return self._of_values(path, pixels.values, classes, void)
        assert pixels.colours is not None
        return self._of_colours(path, pixels, classes, void)

    def _of_values(
        self, path: Path, values: NDArray[np.int64], classes: int, void: int
    ) -> NDArray[np.uint8]:
        there = np.unique(values)
        legal = self.legal | (np.arange(256) == void) if self.name == AS_STORED else self.legal
        wrong = there[(there > 255) | ~legal[np.clip(there, 0, 255)]]
        if wrong.size:
            named = np.flatnonzero(self.legal[:VOID])
            highest = int(named[-1]) if named.size else 0
            raise DataError(
                f"{path} holds label {wrong[0]}; expected 0..{highest} or {void} for void. "
                f"{self._mend(there, classes)}"
            )
        labels: NDArray[np.uint8] = self.table[values]
        labels[labels == VOID] = void
        return labels

    def _mend(self, there: NDArray[np.int64], classes: int) -> str:
        way = fitting(there.tolist(), classes) if self.name == AS_STORED else None
        if way is not None:
            return f"They are classes {WAYS[way].said}: --labels {way}"
        return "Convert the labels or check the class names"

    def _of_colours(self, path: Path, pixels: Pixels, classes: int, void: int) -> NDArray[np.uint8]:
        colours = pixels.colours
        assert colours is not None
        grey = (colours == colours[:, :, :1]).all()
        if self.said and not self.colours and grey:
            return self._of_values(path, colours[:, :, 0].astype(np.int64), classes, void)
        if not self.colours:
            raise DataError(
                f"{path} has mode RGB, and nothing says which colour is which class; name a file "
                "of lines name:red,green,blue with --labels"
            )
        weights = np.array([65536, 256, 1])
        packed = colours.astype(np.int64) @ weights
        found, inverse = np.unique(packed, return_inverse=True)
        known = {int(np.dot(colour, weights)): label for colour, label in self.colours.items()}
        strange = [one for one in found.tolist() if one not in known]
        if strange:
            red, green, blue = strange[0] >> 16, strange[0] >> 8 & 255, strange[0] & 255
            count = int(np.isin(packed, strange).sum())
            raise DataError(
                f"{path} has mode RGB and {count} pixels of colours that are no class (first: "
                f"{red},{green},{blue}); add them to the file of --labels, as void if they are none"
            )
        table = np.array([known[one] for one in found.tolist()], np.uint8)
        labels: NDArray[np.uint8] = table[inverse].reshape(packed.shape)
        labels[labels == VOID] = void
        return labels


def stored_as_they_are(classes: tuple[str, ...], palette: Palette) -> Reading:
    """Values that are the classes; colours of the data set's own palette, black being void."""
    return Reading(unchanged(len(classes)), np.arange(256) < len(classes), palette_colours(palette))


def palette_colours(palette: Iterable[Colour]) -> Mapping[Colour, int]:
    """The colours of a palette in the order of the classes; black and VOC's cream are void."""
    named = {colour: label for label, colour in enumerate(palette)}
    return {(0, 0, 0): VOID, VOC_VOID: VOID, **named} if named else {}


def reading_of(option: str, classes: tuple[str, ...], palette: Palette) -> Reading:
    """What ``--labels`` says.

    Raises:
        DataError: if it is neither the name of a way nor a file that fits the classes.
    """
    if option == AS_STORED:
        return stored_as_they_are(classes, palette)
    if option in WAYS:
        if option == "binary" and len(classes) != 2:
            raise DataError(f"--labels binary is for two classes, and here are {len(classes)}")
        table = WAYS[option].table(len(classes))
        legal = table != VOID
        legal[[0, VOID]] = True
        return Reading(table, legal, palette_colours(palette), option, said=True)
    file = Path(option)
    if not file.is_file():
        ways = ", ".join((AS_STORED, *WAYS))
        raise DataError(f"expected --labels as one of {ways} or a file, got '{option}'")
    return of_file(file, read_label_file(file), classes, option)


def of_file(
    path: Path, file: LabelFile, classes: tuple[str, ...], name: str = AS_STORED
) -> Reading:
    """What a file of values or of colours says.

    Raises:
        DataError: if it names what is no class, or leaves a class out.
    """
    if not file.values and not file.colours:
        raise DataError(
            f"{path} is no file of labels: expected lines 'value name' or 'name:red,green,blue'"
        )
    places = {one.strip().casefold(): at for at, one in enumerate(classes)}
    strange = [
        one for one in file.names
        if one.casefold() not in places and one.casefold() not in VOID_NAMES
    ]  # fmt: skip
    if strange:
        raise DataError(
            f"{path} names '{strange[0]}', which is none of the {len(classes)} classes; write void "
            "where pixels are not to be counted"
        )
    missing = set(places) - {one.casefold() for one in file.names}
    if missing:
        raise DataError(f"{path} does not say what '{min(missing)}' is stored as; add its line")
    pairs = [(value, places.get(one.casefold(), VOID)) for value, one in file.values]
    table, legal = unchanged(len(classes)), np.arange(256) < len(classes)
    if pairs:
        table, legal = table_of(pairs), np.zeros(256, np.bool_)
        legal[[VOID, *(value for value, _ in pairs)]] = True
    colours = {colour: places.get(one.casefold(), VOID) for colour, one in file.colours}
    if colours:
        colours.setdefault(VOC_VOID, VOID)
    return Reading(table, legal, colours, name, said=bool(pairs))
