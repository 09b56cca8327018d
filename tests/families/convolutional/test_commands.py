"""All the way with a folder of transformers', without a word, and adapted under its names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.families.table import load_checkpoint
from tests.cli.test_commands import Run, run
from tests.families.convolutional.hugging import upernet
from tests.families.deployed import check_attended
from tests.families.segformer.formats.test_commands import write_noise

__all__ = ["run"]  # the fixture
CLASSES = open_dataset("scenes:1", (64, 96)).classes
ISR = "16,8,4,2"


@pytest.mark.slow
def test_from_the_folder_to_labels(run: Run, tmp_path: Path) -> None:
    theirs = upernet({"depths": [1, 1, 1, 1]}, CLASSES)
    theirs.save_pretrained(path := tmp_path / "upernet")
    onnx, plan, data = tmp_path / "x.onnx", tmp_path / "x.plan", ("--data", "scenes:2")
    ran = run("info", path, "--isr", ISR)
    assert ("stage 4" in ran.out, "transformers' UperNet" in ran.out) == (True, True)
    ran = run("export", path, "--isr", ISR, "--size", "256x256", "-o", onnx)
    assert ran.code == 0, ran.err
    assert artifact_manifest(onnx).architecture == load_checkpoint(path).variant
    ran = run("build", onnx, "--backend", "tensorrt-rtx", "-o", plan)
    assert ran.code == 0, ran.err  # an unfused attention ends there
    check_attended(plan)
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
    out = tmp_path / "adapted"
    ran = run("adapt", path, "--isr", ISR, "--frames", "scenes:8", "--size", "128x128", "--steps",
              "1", "-o", out)  # fmt: skip
    assert ran.code == 0, ran.err
    assert load_checkpoint(out).adapted is not None
