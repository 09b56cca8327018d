"""A small case of tuning: a tiny network, and images whose truth is what it says at base ISR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edaformer.data import Dataset, open_dataset
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE

SIZE = (64, 64)  # every ratio fits once and twice: 128 settings, few enough to try them all
IMAGES = 24
CLASSES = 5


@pytest.fixture(scope="session")
def tiny_folder(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and labels of which every tenth is another."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("\n".join("abcde"))
    segmenter = TorchSegmenter(tiny_checkpoint.model(BASE), 32)
    generator = np.random.default_rng(0)
    for index, image in enumerate(natural_noise(IMAGES, SIZE)):
        labels = segmenter.segment(image[None])[0]
        other = generator.random(SIZE) < 0.1
        labels[other] = generator.integers(0, CLASSES, int(other.sum()))
        Image.fromarray(image).save(root / f"images/{index:02}.png")
        Image.fromarray(labels).save(root / f"labels/{index:02}.png")
    return root


@pytest.fixture
def tiny_data(tiny_folder: Path) -> Dataset:
    return open_dataset(f"folder:{tiny_folder}", SIZE)
