"""The colour of each class.

The artifact's own palette, where its manifest has one. A plan without its sidecar has only the
names: names that are all of one known data set get that one's colours. Any other class gets a hue
that is a golden turn from the one before, at alternating saturation and brightness, so that
neighbours in the list never look alike and no two of 256 are the same.
"""

from __future__ import annotations

import colorsys

from edaformer.data.classes import CAMVID, class_set

Colour = tuple[int, int, int]  # RGB

_GOLDEN = 0.618033988749895  # turns of hue that never come close to repeating
_TONES = ((0.65, 0.95), (0.9, 0.65), (0.4, 0.85), (0.8, 0.45))  # saturation, value


def class_colours(
    classes: tuple[str, ...] | None, palette: tuple[Colour, ...] | None, count: int
) -> tuple[Colour, ...]:
    """RGB of each of ``count`` classes."""
    if palette is not None and len(palette) == count:
        return palette
    return (classes and _of_a_data_set(classes)) or spread(count)


def spread(count: int) -> tuple[Colour, ...]:
    """``count`` colours, at most 256, all different."""
    return tuple(_tone(index) for index in range(count))


def _of_a_data_set(classes: tuple[str, ...]) -> tuple[Colour, ...] | None:
    """Colours of a data set that has all the names."""
    for known in (CAMVID, *map(class_set, ("cityscapes", "ade20k", "cocostuff164k"))):
        colours = dict(zip(known.classes, known.palette, strict=True))
        if set(classes) <= colours.keys():
            return tuple(colours[name] for name in classes)
    return None


def _tone(index: int) -> Colour:
    saturation, value = _TONES[index % len(_TONES)]
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
