"""A ``folder:`` data set on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.families.network import Network

FIVE = ("road", "sky", "tree", "car", "sign")


def lay_folder(
    root: Path,
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    classes: Iterable[str] = FIVE,
    names: Iterable[str] | None = None,
) -> Path:
    """Write images with their labels and the class names below ``root``, which is made.

    ``names`` are the files'; None numbers them, so that they sort in their order.
    """
    pairs = list(pairs)
    width = len(str(len(pairs) - 1))
    names = names or [f"{index:0{width}}" for index in range(len(pairs))]
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for name, (image, labels) in zip(names, pairs, strict=True):
        Image.fromarray(image).save(root / f"images/{name}.png")
        Image.fromarray(labels).save(root / f"labels/{name}.png")
    (root / "classes.txt").write_text("\n".join(classes))
    return root


def nearly_right(
    model: Network, images: np.ndarray, classes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images, and what the network says of them, a tenth of it at random."""
    segmenter, dice = TorchSegmenter(model, 32), np.random.default_rng(0)
    for image in images:
        labels = segmenter.segment(image[None])[0]
        other = dice.random(labels.shape) < 0.1
        labels[other] = dice.integers(0, classes, int(other.sum()))
        yield image, labels
