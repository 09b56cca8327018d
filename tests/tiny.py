"""A model small enough to trace in seconds, with everything the real ones have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from edaformer.families.checkpoint import Checkpoint, Coverage
from edaformer.families.edaformer.loader import network
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import Variant
from edaformer.families.feedformer.network import FeedFormer
from edaformer.families.feedformer.sizes import FeedFormerSizes
from edaformer.families.segformer.network import SegFormer
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.isr import ISR

SEGFORMER = SegFormerSizes(
    (16, 32, 80, 64), (2, 1, 1, 1), 24, heads=(1, 2, 5, 2), mlp_ratios=(2, 2, 2, 2)
)
FEEDFORMER = FeedFormerSizes((16, 32, 80, 64), (2, 1, 1, 1), 24, mlp_ratios=(2, 2, 2, 2))
FEEDFORMER_CITY = replace(FEEDFORMER, head="city")
TINY = Variant("tiny", (16, 32, 64, 128), (1, 1, 1, 1), 1.9, 2, 24)


def tiny_model(isr: str = "16,8,2,1-2,4,8", num_classes: int = 5, seed: int = 0) -> EDAFormer:
    """EDAFormer, shaken."""
    return shaken(EDAFormer(TINY, num_classes, ISR.parse(isr)), seed)


def tiny_checkpoint() -> Checkpoint:
    """Of five classes, at base ISR; ``path`` names no file."""
    state = tiny_model("base", 5, seed=3).state_dict()
    used = Coverage(used=len(state), left_over=())
    return Checkpoint(Path("tiny.pth"), "0" * 64, TINY, 5, network, used, state=state)


def tiny_segformer(sizes: SegFormerSizes = SEGFORMER, factor: int = 1) -> SegFormer:
    """SegFormer of five classes, shaken; its ISR is ``factor`` times the base."""
    isr = sizes.places.isr(tuple(factor * ratio for ratio in sizes.ratios))
    return shaken(SegFormer(sizes, 5, isr))


def tiny_feedformer(
    sizes: FeedFormerSizes = FEEDFORMER, factor: int = 1, num_classes: int = 5
) -> FeedFormer:
    """FeedFormer, shaken; its ISR is ``factor`` times the base."""
    isr = sizes.places.isr(tuple(factor * ratio for ratio in sizes.places.base.ratios))
    return shaken(FeedFormer(sizes, num_classes, isr))


M = TypeVar("M", bound=nn.Module)


def shaken(model: M, seed: int = 0) -> M:
    """Seeded weights of useful size, BatchNorm statistics away from 0 and 1; for inference."""
    generator = torch.Generator().manual_seed(seed)
    model = model.eval().requires_grad_(requires_grad=False)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif value.ndim > 1:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(0.1 * noise + float(name.endswith("weight")))
    return model
