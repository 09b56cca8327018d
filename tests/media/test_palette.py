"""Colours of classes: the manifest's, a data set's, or generated."""

from __future__ import annotations

import itertools

import numpy as np

from edaformer.data.classes import CAMVID, class_set
from edaformer.media.palette import class_colours, spread


def test_the_manifest_s_palette_comes_first() -> None:
    own = ((1, 2, 3), (4, 5, 6))
    assert class_colours(("road", "sky"), own, 2) == own


def test_names_of_one_data_set_get_its_colours() -> None:
    assert class_colours(CAMVID.classes, None, 11) == CAMVID.palette
    known = class_set("cityscapes")
    colours = class_colours(known.classes[::-1], None, 19)
    assert colours == known.palette[::-1]


def test_unknown_names_get_generated_colours() -> None:
    assert class_colours(("road", "wyvern"), None, 2) == spread(2)
    assert class_colours(None, None, 3) == spread(3)


def test_generated_colours_differ_and_neighbours_differ_clearly() -> None:
    colours = spread(256)
    assert len(set(colours)) == 256
    assert colours[:5] == spread(5)
    for first, second in itertools.pairwise(colours):
        assert np.abs(np.subtract(first, second)).max() >= 60
