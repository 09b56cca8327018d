"""The sizes of a SegFormer: B0 to B5 (paper, table 6), over PVTv2, and any other on file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edaformer.families.mit.sizes import (
    ENCODERS,
    HEADS,
    MLP_RATIOS,
    PATCHES,
    RATIOS,
    STRIDES,
    VARIANTS,
    Four,
    MiTSizes,
)
from edaformer.isr import Places

# What of the network is bilinear corner to corner (align_corners=True) and not by half pixels:
# nothing; the logits' upsampling to the image (segmentation_models_pytorch); the decoder's, too
# (mmsegmentation, where a configuration says so)
AlignCorners = Literal["none", "logits", "all"]
Head = Literal["linear", "convolutions"]  # what brings a map to the decoder's width


@dataclass(frozen=True)
class SegFormerSizes(MiTSizes):
    """Every number that tells one from another; an Architecture.

    Raises:
        InputError: for numbers that no network has, or that this one cannot have.
    """

    widths: Four  # channels
    depths: Four  # blocks
    decoder_width: int
    heads: Four = HEADS
    ratios: Four = RATIOS  # kernel and stride of the sequence reduction; 1: none
    mlp_ratios: Four = MLP_RATIOS
    patches: Four = PATCHES  # kernels of the patch embeddings
    strides: Four = STRIDES  # of the patch embeddings
    family: Literal["segformer"] = "segformer"
    head: Head = "linear"  # convolutions, with BatchNorm and ReLU, are mmsegmentation's
    # of LayerNorm: in blocks and at the ends of stages; after patch embeddings and reductions
    eps: tuple[float, float] = (1e-5, 1e-5)
    align_corners: AlignCorners = "none"

    def __post_init__(self) -> None:
        self.check_encoder("SegFormer", self.decoder_width)

    @property
    def name(self) -> str:
        """``segformer-b0``, of whichever project; ``segformer`` where it is none of the paper's."""
        plain = replace(self, head="linear", eps=(1e-5, 1e-5), align_corners="none")
        return next((name for name, sizes in SEGFORMERS.items() if sizes == plain), "segformer")

    @property
    def title(self) -> str:
        """``SegFormer-B0``, or ``SegFormer``."""
        named = self.name.replace("segformer", "SegFormer").replace("-pvt-v2", "-PVTv2")
        return named.replace("-b", "-B")

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
        doubled = ",".join(str(2 * ratio) for ratio in self.ratios)
        return Places(self.encoder_places, examples=f"{doubled} (or base)")

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run."""
        return self.encoder_attention_names


_DECODER_WIDTHS = {"b0": 256, "b1": 256}  # the others': 768
SEGFORMERS = {
    **{f"segformer-{name}": SegFormerSizes(widths, depths, _DECODER_WIDTHS.get(name, 768))
       for name, (widths, depths) in VARIANTS.items()},
    # segmentation_models_pytorch's over PVTv2; over PVTv2-B5 it is one over MiT-B5
    **{f"segformer-{name}": SegFormerSizes(widths, depths, 256, mlp_ratios=mlp_ratios)
       for name, (widths, depths, mlp_ratios) in ENCODERS.items() if name.startswith("pvt")},
}  # fmt: skip
