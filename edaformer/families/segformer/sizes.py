"""The sizes of a SegFormer: B0 to B5 (paper, table 6), and any other that a folder holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from typing import Literal

from edaformer.errors import InputError
from edaformer.isr import Place, Places
from edaformer.preprocess import ALIGN

Four = tuple[int, int, int, int]  # of stages 1..4
# What of the network is bilinear corner to corner (align_corners=True) and not by half pixels:
# nothing; the logits' upsampling to the image (segmentation_models_pytorch); the decoder's, too
# (mmsegmentation, where a configuration says so)
AlignCorners = Literal["none", "logits", "all"]
Head = Literal["linear", "convolutions"]  # what brings a map to the decoder's width
MAX_CLASSES = 256  # labels are uint8
_LARGEST = 1 << 16  # of any number here: a manifest is not trusted


@dataclass(frozen=True)
class SegFormerSizes:
    """Every number that tells one from another; an Architecture.

    Raises:
        InputError: for numbers that no network has, or that this one cannot have.
    """

    widths: Four  # channels
    depths: Four  # blocks
    decoder_width: int
    heads: Four = (1, 2, 5, 8)
    ratios: Four = (8, 4, 2, 1)  # kernel and stride of the sequence reduction; 1: none
    mlp_ratios: Four = (4, 4, 4, 4)
    patches: Four = (7, 3, 3, 3)  # kernels of the patch embeddings
    strides: Four = (4, 2, 2, 2)  # of the patch embeddings
    family: Literal["segformer"] = "segformer"
    head: Head = "linear"  # convolutions, with BatchNorm and ReLU, are mmsegmentation's
    # of LayerNorm: in blocks and at the ends of stages; after patch embeddings and reductions
    eps: tuple[float, float] = (1e-5, 1e-5)
    align_corners: AlignCorners = "none"

    def __post_init__(self) -> None:
        numbers = (*self.widths, *self.depths, self.decoder_width, *self.heads, *self.ratios,
                   *self.mlp_ratios, *self.patches, *self.strides)  # fmt: skip
        if not all(0 < number <= _LARGEST for number in numbers):
            raise InputError(
                f"expected a SegFormer's sizes between 1 and {_LARGEST}, got {self}; "
                "mend the configuration"
            )
        if any(width % heads for width, heads in zip(self.widths, self.heads, strict=True)):
            raise InputError(
                f"expected heads that divide {self.widths} channels, got {self.heads}; "
                "mend the configuration"
            )
        if any(patch % 2 == 0 for patch in self.patches):
            raise InputError(f"expected odd patch sizes, got {self.patches}; no other is supported")
        if ALIGN % math.prod(self.strides):
            raise InputError(
                f"expected strides whose product divides {ALIGN}, got {self.strides}; "
                "no other is supported"
            )
        if not all(0 < eps < 1 for eps in self.eps):
            raise InputError(f"expected LayerNorm's eps between 0 and 1, got {self.eps}; mend it")

    @property
    def name(self) -> str:
        """``segformer-b0``, of whichever project; ``segformer`` where it is none of the paper's."""
        plain = replace(self, head="linear", eps=(1e-5, 1e-5), align_corners="none")
        return next((name for name, sizes in SEGFORMERS.items() if sizes == plain), "segformer")

    @property
    def title(self) -> str:
        """``SegFormer-B0``, or ``SegFormer``."""
        return self.name.replace("segformer", "SegFormer").replace("-b", "-B")

    @property
    def logits_stride(self) -> int:
        """Input pixels to a logit: the decoder works on stage 1's map."""
        return self.strides[0] // self.upsampling

    @property
    def upsampling(self) -> int:
        """By how much the network itself upsamples its logits: to the image's size, or not."""
        return 1 if self.align_corners == "none" else self.strides[0]

    @property
    def places(self) -> Places:
        """The four stages; the decoder has no attention."""
        steps = accumulate(self.strides, mul)
        doubled = ",".join(str(2 * ratio) for ratio in self.ratios)
        return Places(
            tuple(
                Place(f"encoder stage {number}", ratio, stride)
                for number, (ratio, stride) in enumerate(zip(self.ratios, steps, strict=True), 1)
            ),
            examples=f"{doubled} (or base)",
        )

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run."""
        stages = enumerate(self.depths, start=1)
        return tuple(f"encoder.stage{s}.blocks.{i}.attention" for s, n in stages for i in range(n))

    @property
    def kept_maps(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of the maps that wait for the decoder: all four."""
        strides = (place.stride for place in self.places.all)
        return tuple(zip(self.widths, strides, strict=True))

    def hidden(self, stage: int) -> int:
        """Hidden width of the MLPs of stage ``stage`` (0..3)."""
        return self.widths[stage] * self.mlp_ratios[stage]


_WIDE: Four = (64, 128, 320, 512)
SEGFORMERS = {
    "segformer-b0": SegFormerSizes((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "segformer-b1": SegFormerSizes(_WIDE, (2, 2, 2, 2), 256),
    "segformer-b2": SegFormerSizes(_WIDE, (3, 4, 6, 3), 768),
    "segformer-b3": SegFormerSizes(_WIDE, (3, 4, 18, 3), 768),
    "segformer-b4": SegFormerSizes(_WIDE, (3, 8, 27, 3), 768),
    "segformer-b5": SegFormerSizes(_WIDE, (3, 6, 40, 3), 768),
}
