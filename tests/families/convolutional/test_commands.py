"""All the way with a folder of transformers', without a word, and adapted under its names."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.data import open_dataset
from tests.cli.test_commands import Run, run
from tests.families.convolutional.hugging import upernet
from tests.families.deployed import all_the_way

__all__ = ["run"]  # the fixture
CLASSES = open_dataset("scenes:1", (64, 96)).classes
ISR = "16,8,4,2"


@pytest.mark.slow
def test_from_the_folder_to_labels(run: Run, tmp_path: Path) -> None:
    theirs = upernet({"depths": [1, 1, 1, 1]}, CLASSES)
    theirs.save_pretrained(path := tmp_path / "upernet")
    ran = run("info", path, "--isr", ISR)
    assert ("stage 4" in ran.out, "transformers' UperNet" in ran.out) == (True, True)
    all_the_way(run, path, tmp_path, ISR, adapted=tmp_path / "adapted")
