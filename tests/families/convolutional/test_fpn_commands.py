"""All the way with mmsegmentation's file and smp's, without a word, and adapted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from tests.cli.test_commands import Run, run
from tests.families.convolutional.fpn import mmseg_fpn, smp_fpn
from tests.families.convolutional.test_upernet import mmseg_state
from tests.families.deployed import all_the_way, check_fused

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
    ran = run("info", path, "--isr", ISR)
    assert ("decoder" in ran.out, "mmsegmentation's FPN" in ran.out) == (True, True)
    out = tmp_path / "adapted.pth"
    # of random weights: a step of all of them loses more than it gains
    adapting = ("--steps", "1", "--train", "attention")
    manifest = all_the_way(run, path, tmp_path, ISR, adapted=out, adapting=adapting)
    assert {"fold-batchnorm", "fuse-per-branch"} <= set(manifest.rewrites)
    assert list(torch.load(out, weights_only=True)["state_dict"]) == list(state)


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
