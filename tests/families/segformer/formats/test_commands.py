"""All the way with each project's file, without a word: exported, built, validated, run."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.export.rewrites import defaults
from edaformer.families.segformer.sizes import SEGFORMERS
from edaformer.families.table import load_checkpoint
from tests.cli.test_commands import Run, run
from tests.conftest import ROOT
from tests.families.deployed import check_fused, write_noise
from tests.families.segformer.formats.projects import mmseg_model, nvlabs_state, save, smp_state
from tests.families.segformer.hugging import hugging_model

__all__ = ["run"]  # the fixture
SIZE = (256, 256)
CLASSES = open_dataset("scenes:1", SIZE).classes
B0 = SEGFORMERS["segformer-b0"]
NVLABS_EPS, MMSEG_EPS = (1e-6, 1e-5), (1e-6, 1e-6)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """MiT-B0's widths, so that nobody is asked for heads, a block a stage."""
    folder, meta = tmp_path_factory.mktemp("files"), {"CLASSES": CLASSES}
    nvlabs = nvlabs_state(hugging_model(
        hidden_sizes=[32, 64, 160, 256], num_attention_heads=[1, 2, 5, 8], depths=[1, 1, 1, 1],
        decoder_hidden_size=32, id2label=dict(enumerate(CLASSES)),
    ))  # fmt: skip
    mmseg = mmseg_model(width=32, heads=(1, 2, 5, 8), depths=(1, 1, 1, 1), classes=len(CLASSES),
                        channels=32).state_dict()  # fmt: skip
    states = {"nvlabs": nvlabs, "mmseg": mmseg, "smp": smp_state(nvlabs)}
    return {name: save(folder / f"{name}.pth", state, meta=meta) for name, state in states.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nvlabs", "mmseg", "smp"])
def test_from_the_file_to_labels(
    name: str, files: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    path, onnx, plan = files[name], tmp_path / "x.onnx", tmp_path / "x.plan"
    assert run("info", path).out.splitlines()[2].split()[0] == "format"
    ran = run("export", path, "--isr", "16,8,4,2", "--size", "256x256", "-o", onnx)
    assert ran.code == 0, ran.err
    assert "heads" in ran.out
    assert artifact_manifest(onnx).architecture == load_checkpoint(path).variant
    ran = run("build", onnx, "--backend", "tensorrt-rtx", "-o", plan)
    assert ran.code == 0, ran.err  # an unfused attention ends there
    check_fused(plan)
    ran = run("validate", onnx, "--checkpoint", path, "--data", "scenes:1", "--json",
              "--trust-labels", "--max-miou-drop", "100")  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["agreement"] > 0.99
    frame = tmp_path / "frame.png"
    write_noise(frame)
    ran = run("run", onnx, frame, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    ran = run("tune", path, "--data", "scenes:2", "--size", "64x96", "--trust-labels", "--trials",
              "2", "--out", tmp_path / "tuned")  # fmt: skip
    assert ran.code == 0, ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"eps": NVLABS_EPS},
        {"eps": MMSEG_EPS, "head": "convolutions"},
        {"eps": NVLABS_EPS, "align_corners": "logits"},
        {"eps": MMSEG_EPS, "head": "convolutions", "align_corners": "all"},
    ],
)
@pytest.mark.parametrize("isr", ["base", "16,8,4,2"])
def test_every_attention_is_fused_and_nothing_is_padded(isr: str, changes: dict[str, Any]) -> None:
    measure = runpy.run_path(str(ROOT / "benchmarks" / "rewrites.py"))["measure"]
    names = defaults("fp16", "segformer-b0")
    figures = measure(replace(B0, **changes), (512, 512), 150, isr, names, run=False)
    assert (figures["unfused"], figures["padding"]) == (0, 0)


def test_the_artifact_says_which_network_it_is(
    files: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    """A person's word for the network is in the artifact, and is taken from there."""
    onnx = tmp_path / "x.onnx"
    ran = run("export", files["smp"], "--size", "64x96", "--precision", "fp32", "-o", onnx,
              "--align-corners", "none", "--heads", "1,1,1,1")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "--heads 1,1,1,1 --align-corners none" not in ran.err  # build asks for nothing
    manifest = artifact_manifest(onnx)
    assert manifest.logits_stride == 4
    again = load_checkpoint(files["smp"], manifest.given)
    assert again.variant == manifest.architecture
    assert again.variant != load_checkpoint(files["smp"]).variant
    assert torch.equal(again.state["decoder.classify.bias"],
                       load_checkpoint(files["smp"]).state["decoder.classify.bias"])  # fmt: skip
    ran = run("info", onnx, "--heads", "1,2,5,8")
    assert (ran.code, "it is baked in" in ran.err) == (2, True)
