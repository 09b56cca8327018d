"""All the way with segmentation_models_pytorch's own models, and adapted under its names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.families.table import load_checkpoint
from tests.cli.test_commands import Run, run
from tests.families.deployed import check_fused
from tests.families.segformer.formats.test_commands import write_noise
from tests.families.smp import smp_model

__all__ = ["run"]  # the fixture
CLASSES = open_dataset("scenes:1", (64, 96)).classes
ISR = "16,8,4,2"
MODELS: dict[str, dict[str, Any]] = {
    "Unet": {"encoder": "tu-pvt_v2_b0", "decoder_channels": (48, 32, 24, 16, 8)},
    "UPerNet": {"encoder": "mit_b0", "decoder_channels": 32},
    "DeepLabV3Plus": {"encoder": "mit_b0", "decoder_channels": 32},
    "Segformer": {"encoder": "tu-pvt_v2_b0"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_from_the_folder_to_labels(kind: str, run: Run, tmp_path: Path) -> None:
    path, names = tmp_path / "model", tmp_path / "names.txt"
    smp_model(kind=kind, classes=len(CLASSES), **MODELS[kind]).save_pretrained(path)
    names.write_text("\n".join(CLASSES))
    onnx, plan, data = tmp_path / "x.onnx", tmp_path / "x.plan", ("--data", "scenes:1")
    ran = run("info", path, "--isr", ISR)
    assert f"segmentation_models_pytorch's {kind}" in ran.out
    ran = run("export", path, "--isr", ISR, "--size", "256x256", "--names", names, "-o", onnx)
    assert ran.code == 0, ran.err
    assert artifact_manifest(onnx).architecture == load_checkpoint(path).variant
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
    ran = run("run", path, tmp_path / "frame.png", "--attention", "4", "--isr", ISR, "--size",
              "128x128", "-o", tmp_path / "looked.png")  # fmt: skip
    assert ran.code == 0, ran.err
    ran = run("adapt", path, "--isr", ISR, "--frames", "scenes:8", "--size", "128x128", "--steps",
              "4", "--rate", "0.00001", "-o", tmp_path / "adapted")  # fmt: skip
    assert ran.code == 0, ran.err
    assert load_checkpoint(tmp_path / "adapted").adapted is not None
