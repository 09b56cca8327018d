"""SegFormer (paper section 3.2): the all-MLP decoder over a MiT encoder.

Computed as the project that trained it computes it, as its sizes say: mmsegmentation's decode head
has BatchNorm and ReLU in each branch.

Letters: B batch, C channels, H x W a map.
"""

from __future__ import annotations

from torch import Tensor, nn

from edaformer.families.attention import to_map, to_tokens
from edaformer.families.fuse import Convolve, Fuse
from edaformer.families.mit.network import mit
from edaformer.families.network import Head, Network
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.isr import ISR


class EmbedAndFuse(Fuse):
    """A linear layer brings each map to the decoder's width; then they are fused."""

    def __init__(self, widths: tuple[int, ...], width: int, *, aligned: bool = False) -> None:
        """``widths`` of the maps as they come, the largest map last."""
        super().__init__([width] * len(widths), width, aligned=aligned)
        self.embed = nn.ModuleList(nn.Linear(channels, width) for channels in widths)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (B, C_i, H_i, W_i), the largest last -> (B, width, H, W) of that one."""
        sizes = [(feature.shape[2], feature.shape[3]) for feature in maps]
        tokens = [embed(to_tokens(m)) for embed, m in zip(self.embed, maps, strict=True)]
        return super().forward(*map(to_map, tokens, sizes))


class ConvolveAndFuse(Fuse):
    """mmsegmentation's: a convolution with BatchNorm and ReLU for each map; then they are fused."""

    def __init__(self, widths: tuple[int, ...], width: int, *, aligned: bool = False) -> None:
        """``widths`` of the maps as they come, the largest map last."""
        super().__init__([width] * len(widths), width, aligned=aligned)
        self.embed = nn.ModuleList(Convolve(channels, width) for channels in widths)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (B, C_i, H_i, W_i), the largest last -> (B, width, H, W) of that one."""
        return super().forward(*(embed(m) for embed, m in zip(self.embed, maps, strict=True)))


class Decoder(Head):
    """Fuse the four maps at stage 1's size; classify; upsample where the network itself does."""

    def __init__(self, sizes: SegFormerSizes, num_classes: int) -> None:
        super().__init__()
        kind = ConvolveAndFuse if sizes.head == "convolutions" else EmbedAndFuse
        aligned = sizes.align_corners == "all"
        self.fuse = kind(sizes.widths[::-1], sizes.decoder_width, aligned=aligned)
        self.classify = nn.Conv2d(sizes.decoder_width, num_classes, kernel_size=1)
        self.upsampling = sizes.upsampling


class SegFormer(Network):
    """The segmentation network: a normalised image in, logits at 1 / logits_stride out."""

    def __init__(self, sizes: SegFormerSizes, num_classes: int, isr: ISR) -> None:
        super().__init__(sizes, num_classes)
        self.encoder = mit(sizes, isr.encoder)
        self.decoder = Decoder(sizes, num_classes)
