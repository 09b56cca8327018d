"""All the way with a file of the release, without a word, and adapted under its names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.families.feedformer.sizes import FEEDFORMERS
from edaformer.families.table import load_checkpoint
from tests.cli.test_commands import Run, run
from tests.families.deployed import check_fused
from tests.families.feedformer.published import published_names, save
from tests.families.segformer.formats.test_commands import write_noise
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
    onnx, plan, data = tmp_path / "x.onnx", tmp_path / "x.plan", ("--data", "scenes:2")
    ran = run("info", path, "--isr", ISR)
    assert ("decoder c4" in ran.out, "FeedFormer's release" in ran.out) == (True, True)
    ran = run("export", path, "--isr", ISR, "--size", "256x256", "-o", onnx)
    assert ran.code == 0, ran.err
    assert artifact_manifest(onnx).architecture == load_checkpoint(path).variant == SIZES
    ran = run("build", onnx, "--backend", "tensorrt-rtx", "-o", plan)
    assert ran.code == 0, ran.err  # an unfused attention ends there
    check_fused(plan)
    ran = run("validate", onnx, "--checkpoint", path, *data, "--json", "--trust-labels",
              "--max-miou-drop", "100")  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["agreement"] > 0.99
    write_noise(tmp_path / "frame.png")
    ran = run("run", onnx, tmp_path / "frame.png", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    ran = run("tune", path, *data, "--size", "64x96", "--trust-labels", "--trials", "2",
              "--out", tmp_path / "tuned")  # fmt: skip
    assert ran.code == 0, ran.err
    ran = run("run", path, tmp_path / "frame.png", "--attention", "c4", "--isr", ISR, "--size",
              "128x128", "-o", tmp_path / "looked.png")  # fmt: skip
    assert ran.code == 0, ran.err
    out = tmp_path / "adapted.pth"
    ran = run("adapt", path, "--isr", ISR, "--frames", "scenes:8", "--size", "128x128", "--steps",
              "1", "-o", out)  # fmt: skip
    assert ran.code == 0, ran.err
    assert list(torch.load(out, weights_only=True)["state_dict"]) == list(state)
    assert load_checkpoint(out).adapted is not None
