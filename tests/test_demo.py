"""The demo checkpoint and the defaults that stand on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.data import open_dataset
from edaformer.data.scenes import CLASSES, PALETTE
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.evaluation.metrics import confusion_matrix, score
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE, ISR

SIZE = (360, 480)
MIOU_FLOOR = 81.0  # sixteen scenes scatter by a few points around the card's figure


def test_the_checkpoint_is_small_and_says_what_it_is() -> None:
    assert demo_checkpoint().stat().st_size <= 11e6
    demo = load_checkpoint(demo_checkpoint())
    assert (demo.variant.name, demo.classes, demo.palette) == ("T", CLASSES, PALETTE)
    assert demo.input_size == SIZE
    assert (demo_checkpoint().parent / "README.md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("isr", "floor"), [("base", MIOU_FLOOR), ("16,8,4,1", MIOU_FLOOR - 1)])
def test_it_segments_held_out_scenes(isr: str, floor: float) -> None:
    """Sixteen scenes; the card's figures are over 200."""
    segmenter = TorchSegmenter(load_checkpoint(demo_checkpoint()).model(ISR.parse(isr)), 32)
    total = sum(
        confusion_matrix(s.labels, segmenter.segment(s.image[None])[0], 11, 11)
        for s in open_dataset("scenes:16", SIZE)
    )
    assert score(np.asarray(total)).miou >= floor


@pytest.mark.slow
def test_commands_without_a_checkpoint_use_it_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    made = runner.invoke(app, ["export", "--isr", "16,8,4,1"])
    assert made.exit_code == 0
    assert made.stderr.count("using the demo") == 1
    assert "verified on" in made.stdout
    name = "edaformer_t_scenes_16-8-4-1_360x480_fp16.onnx"
    assert f"no -o given: writing {name}" in made.stderr
    assert "no --size given: exporting for 360x480 (meta)" in made.stderr
    alone = runner.invoke(app, ["validate", name, "--limit", "3", "--json"])
    assert alone.exit_code == 0, alone.stderr
    result = json.loads(alone.stdout)
    assert (result["data"], result["images"], result["size"]) == ("scenes", 3, "360x480")
    assert result["agreement"] >= 0.999
    assert result["reference_base"]["isr"] == str(BASE)
    assert "using the demo" in alone.stderr
