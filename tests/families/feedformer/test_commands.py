"""All the way with a file of the release, without a word, and adapted under its names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edaformer.data import open_dataset
from edaformer.families.feedformer.sizes import FEEDFORMERS
from tests.cli.test_commands import Run, run
from tests.families.deployed import all_the_way
from tests.families.feedformer.published import published_names, save
from tests.tiny import tiny_feedformer

__all__ = ["run"]  # the fixture
CLASSES = open_dataset("scenes:1", (64, 96)).classes
# MiT-B0's widths, so that nobody is asked for heads, a block a stage
SIZES = replace(FEEDFORMERS["feedformer-b0-city"], depths=(1, 1, 1, 1), decoder_width=32)
ISR = "16,8,4,2-32,16,8"


@pytest.mark.slow
def test_from_the_file_to_labels(run: Run, tmp_path: Path) -> None:
    state = published_names(tiny_feedformer(SIZES, num_classes=len(CLASSES)))
    path = save(tmp_path / "feed.pth", state, classes=CLASSES)
    ran = run("info", path, "--isr", ISR)
    assert ("decoder c4" in ran.out, "FeedFormer's release" in ran.out) == (True, True)
    out = tmp_path / "adapted.pth"
    assert all_the_way(run, path, tmp_path, ISR, adapted=out).architecture == SIZES
    assert list(torch.load(out, weights_only=True)["state_dict"]) == list(state)
