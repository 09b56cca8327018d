"""What tests of every family ask of its deployed form."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.export import exporter
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites import apply_rewrites, defaults
from edaformer.families.network import Network
from edaformer.families.table import layers
from edaformer.manifest import Proof


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


def check_attended(plan: Path) -> Proof:
    """Every attention is one kernel."""
    engine = artifact_manifest(plan).engine
    assert engine is not None
    assert engine.proof is not None
    assert engine.proof.attention_unfused == ()
    return engine.proof


def check_fused(plan: Path) -> None:
    """Every attention is one kernel, and no kernel pads."""
    assert "padding" not in {kernel.kind for kernel in check_attended(plan).kernels}
