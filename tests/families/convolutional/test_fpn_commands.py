"""All the way with mmsegmentation's file and smp's, without a word, and adapted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.families.table import load_checkpoint
from tests.cli.test_commands import Run, run
from tests.families.convolutional.fpn import mmseg_fpn, smp_fpn
from tests.families.convolutional.test_upernet import mmseg_state
from tests.families.deployed import check_fused
from tests.families.segformer.formats.test_commands import write_noise

__all__ = ["run"]  # the fixture
CLASSES = open_dataset("scenes:1", (64, 96)).classes
ISR = "16,8,4,2"
# B0's widths, so that nobody is asked for heads, a block a stage
SIZES = {"hidden_sizes": [32, 64, 160, 256], "num_attention_heads": [1, 2, 5, 8],
         "depths": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2]}  # fmt: skip


@pytest.mark.slow
def test_from_mmsegmentation_s_file_to_labels(run: Run, tmp_path: Path) -> None:
    state = mmseg_state(mmseg_fpn(width=64, channels=32, classes=len(CLASSES), **SIZES))
    path = tmp_path / "fpn.pth"
    torch.save({"state_dict": state, "meta": {"CLASSES": CLASSES}}, path)
    onnx, plan, data = tmp_path / "x.onnx", tmp_path / "x.plan", ("--data", "scenes:2")
    ran = run("info", path, "--isr", ISR)
    assert ("decoder" in ran.out, "mmsegmentation's FPN" in ran.out) == (True, True)
    ran = run("export", path, "--isr", ISR, "--size", "256x256", "-o", onnx)
    assert ran.code == 0, ran.err
    manifest = artifact_manifest(onnx)
    assert manifest.architecture == load_checkpoint(path).variant
    assert {"fold-batchnorm", "fuse-per-branch"} <= set(manifest.rewrites)
    ran = run("build", onnx, "--backend", "tensorrt-rtx", "-o", plan)
    assert ran.code == 0, ran.err
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
    ran = run("run", path, tmp_path / "frame.png", "--attention", "2", "--isr", ISR, "--size",
              "128x128", "-o", tmp_path / "looked.png")  # fmt: skip
    assert ran.code == 0, ran.err
    out = tmp_path / "adapted.pth"
    # of random weights: a step of all of them loses more than it gains
    ran = run("adapt", path, "--isr", ISR, "--frames", "scenes:8", "--size", "128x128", "--steps",
              "1", "--train", "attention", "-o", out)  # fmt: skip
    assert ran.code == 0, ran.err
    assert list(torch.load(out, weights_only=True)["state_dict"]) == list(state)
    assert load_checkpoint(out).adapted is not None


@pytest.mark.slow
def test_smp_s_group_norm_is_one_kernel_each(run: Run, tmp_path: Path) -> None:
    """Typed FLOAT16 and verified; the engine sums in FP32, asked by nobody, and refuses nothing."""
    path, onnx, plan = (tmp_path / f"smp.{end}" for end in ("pth", "onnx", "plan"))
    torch.save(smp_fpn("tu-pvt_v2_b0").state_dict(), path)
    ran = run("export", path, "--isr", ISR, "--size", "128x128", "-o", onnx)
    assert ran.code == 0, ran.err
    assert [kept.reason for kept in artifact_manifest(onnx).kept_fp32] == ["normalisation"]
    ran = run("build", onnx, "--backend", "tensorrt-rtx", "-o", plan)
    assert ran.code == 0, ran.err
    check_fused(plan)
    engine = artifact_manifest(plan).engine
    assert engine is not None
    assert engine.proof is not None
    groups = [kernel for kernel in engine.proof.kernels if "Gnor" in kernel.name]
    assert [kernel.kind for kernel in groups] == ["normalisation"] * 7
