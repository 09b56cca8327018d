"""SegFormer (paper section 3.2): the all-MLP decoder over a MiT encoder.

Computed as the project that trained it computes it, as its sizes say: mmsegmentation's decode head
has BatchNorm and ReLU in each branch.

Letters: B batch, C channels, H x W a map.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.attention import to_map, to_tokens
from edaformer.families.fuse import Fuse, upsample
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


class ConvolveEach(nn.Module):
    """1x1 convolution -> BatchNorm -> ReLU, of one map."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, H, W)."""
        return functional.relu(self.norm(self.conv(feature)))


class ConvolveAndFuse(Fuse):
    """mmsegmentation's: a convolution with BatchNorm and ReLU for each map; then they are fused."""

    def __init__(self, widths: tuple[int, ...], width: int, *, aligned: bool = False) -> None:
        """``widths`` of the maps as they come, the largest map last."""
        super().__init__([width] * len(widths), width, aligned=aligned)
        self.embed = nn.ModuleList(ConvolveEach(channels, width) for channels in widths)

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

    def decide(self, *maps: Tensor) -> Tensor:
        """Maps, the largest last -> logits, corner to corner at the image's size where trained so.

        Half-pixel upsampling is left to whoever asks for labels.
        """
        logits = super().decide(*maps)
        if self.upsampling == 1:
            return logits
        size = (logits.shape[2] * self.upsampling, logits.shape[3] * self.upsampling)
        return upsample(logits, size, aligned=True)

    def forward(self, *maps: Tensor) -> Tensor:
        """The encoder's maps, c1 first -> logits (B, classes, H_1, W_1), or the image's size."""
        return self.decide(*maps[::-1])


class SegFormer(Network):
    """The segmentation network: a normalised image in, logits at 1 / logits_stride out."""

    reads = ((), (0,), (1,), (2,))
    fused = (3, 2, 1, 0)

    def __init__(self, sizes: SegFormerSizes, num_classes: int, isr: ISR) -> None:
        super().__init__(sizes, num_classes)
        self.encoder = mit(sizes, isr.encoder)
        self.decoder = Decoder(sizes, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) float, RGB, normalised -> logits (B, classes, H / stride, W / stride)."""
        return self.decoder(*self.encoder(image))
