"""A small case of tuning: a tiny network, and images whose truth is what it says at base ISR."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.data import Dataset, open_dataset
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE
from tests.folder import lay_folder, nearly_right

SIZE = (64, 64)  # every ratio fits once and twice: 128 settings, few enough to try them all
IMAGES = 24
CLASSES = 5


@pytest.fixture(scope="session")
def tiny_folder(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and labels of which every tenth is another."""
    model = tiny_checkpoint.model(BASE)
    pairs = nearly_right(model, natural_noise(IMAGES, SIZE), CLASSES)
    return lay_folder(tmp_path_factory.mktemp("tiny"), pairs, "abcde")


@pytest.fixture
def tiny_data(tiny_folder: Path) -> Dataset:
    return open_dataset(f"folder:{tiny_folder}", SIZE)
