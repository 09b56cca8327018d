"""What tests of every family ask of its deployed form."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.export import exporter
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites import apply_rewrites, defaults
from edaformer.families.network import Network
from edaformer.families.table import layers, load_checkpoint
from edaformer.manifest import Manifest
from tests.cli.test_commands import Run


def check_layers(model: Network, size: tuple[int, int]) -> None:
    """The layers of the cost model are those of the rewritten ``model``, by PyTorch's counter."""
    isr = model.isr
    plain = exporter.deployment(model, ExportOptions(isr, size))
    names = tuple(name for name in defaults("fp16", model.variant.name) if name != "pad-image")
    rewritten, _ = apply_rewrites(plain, names)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        copy.deepcopy(rewritten.model).to("meta")(torch.zeros(1, 3, *size, device="meta"))
    made_of = layers(model.variant, model.num_classes, size, isr)
    assert 2 * sum(layer.macs * layer.times for layer in made_of) == counter.get_total_flops()


def check_fused(plan: Path) -> None:
    """Every attention is one kernel, and no kernel pads."""
    engine = artifact_manifest(plan).engine
    assert engine is not None
    assert engine.proof is not None
    assert engine.proof.attention_unfused == ()
    assert "padding" not in {kernel.kind for kernel in engine.proof.kernels}


def all_the_way(
    run: Run,
    path: Path,
    folder: Path,
    isr: str,
    *,
    adapted: Path,
    named: tuple[object, ...] = (),
    adapting: tuple[str, ...] = ("--steps", "1"),
) -> Manifest:
    """A checkpoint of the drawn scenes' classes through every command.

    Args:
        run: the fixture.
        path: of the checkpoint.
        folder: for all that is made.
        isr: for export, a look inside and adapting.
        adapted: where the adapted one is written.
        named: options that say the classes' names, where the checkpoint does not.
        adapting: how much, of random weights.

    Returns:
        The exported file's manifest.
    """
    onnx, plan, frame = (folder / name for name in ("x.onnx", "x.plan", "frame.png"))
    write_noise(frame)

    def go(*words: object) -> str:
        ran = run(*words)
        assert ran.code == 0, ran.err
        return ran.out

    go("export", path, "--isr", isr, "--size", "256x256", *named, "-o", onnx)
    manifest = artifact_manifest(onnx)
    assert manifest.architecture == load_checkpoint(path).variant
    go("build", onnx, "--backend", "tensorrt-rtx", "-o", plan)  # an unfused attention ends there
    check_fused(plan)
    told = go("validate", onnx, "--checkpoint", path, "--data", "scenes:2", "--json",
              "--trust-labels", "--max-miou-drop", "100")  # fmt: skip
    assert json.loads(told)["agreement"] > 0.99
    go("run", onnx, frame, "-o", folder / "out")
    go("tune", path, "--data", "scenes:2", "--size", "64x96", "--trust-labels", "--trials", "2",
       "--out", folder / "tuned")  # fmt: skip
    go("run", path, frame, "--attention", "4", "--isr", isr, "--size", "128x128", "-o",
       folder / "looked.png")  # fmt: skip
    go("adapt", path, "--isr", isr, "--frames", "scenes:8", "--size", "128x128", *adapting, "-o",
       adapted)  # fmt: skip
    assert load_checkpoint(adapted).adapted is not None
    return manifest


def write_noise(path: Path) -> None:
    """A picture of 256x256."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(pixels).save(path)
