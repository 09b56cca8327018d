"""SegFormer (paper sections 3.1 and 3.2): the MiT encoder and the all-MLP decoder, with ISR.

Computed as the project that trained it computes it, as its sizes say: transformers has PyTorch's
LayerNorm eps of 1e-5 everywhere (whatever ``layer_norm_eps`` says), NVlabs, mmsegmentation and
segmentation_models_pytorch have 1e-6 here or there; mmsegmentation's decode head has BatchNorm and
ReLU in each branch. ISR is not SegFormer's own: a ratio of m times the trained one average-pools
the reduced map by m before keys and values are projected.

Letters: B batch, C channels, h heads, d = C / h, H x W the map, N = H W queries, M keys.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.attention import Attention, Block, MixMLP, to_map, to_tokens
from edaformer.families.fuse import Fuse, upsample
from edaformer.families.network import Encoder, Head, Network, PatchEmbedding, Stage
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.isr import ISR


class SequenceReduction(nn.Module):
    """A convolution of kernel and stride R, then LayerNorm."""

    def __init__(self, channels: int, ratio: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=ratio, stride=ratio)
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / R, W / R), rounded down."""
        feature = self.conv(feature)
        size = (feature.shape[2], feature.shape[3])
        return to_map(self.norm(to_tokens(feature)), size)


class ReducedAttention(Attention):
    """out = Linear(softmax(q k^T / sqrt(d)) v), keys and values projected from a reduced map.

    ``trained`` is the reduction's R; a ``ratio`` of m R pools the reduced map by m. R = 1 reduces
    nothing, and the normalised input is pooled.
    """

    def __init__(
        self, channels: int, *, heads: int, trained: int, ratio: int, eps: float = 1e-5
    ) -> None:
        super().__init__(heads=heads, ratio=ratio)
        self.trained = trained
        self.q = nn.Linear(channels, channels)
        self.k = nn.Linear(channels, channels)
        self.v = nn.Linear(channels, channels)
        self.reduction = (
            SequenceReduction(channels, trained, eps=eps) if trained > 1 else nn.Identity()
        )
        self.proj: nn.Module = nn.Linear(channels, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, N, C), the block's normalised input, over a map of ``size`` (H, W) -> (B, N, C)."""
        reduced = self.reduce(to_map(x, size))  # (B, M, C)
        q, k, v = (
            self.split_heads(tokens) for tokens in (self.q(x), self.k(reduced), self.v(reduced))
        )
        return self.proj(self.join_heads(self.attend(q, k, v)))

    def reduce(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, M, C)."""
        feature = self.reduction(feature)
        pooling = self.ratio // self.trained
        if pooling > 1:
            feature = functional.avg_pool2d(feature, pooling)  # floors
        return to_tokens(feature)


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

    reads = (None, 0, 1, 2)
    fused = (3, 2, 1, 0)

    def __init__(self, sizes: SegFormerSizes, num_classes: int, isr: ISR) -> None:
        super().__init__(sizes, num_classes)
        self.encoder = Encoder(_stage(sizes, i, ratio) for i, ratio in enumerate(isr.encoder))
        self.decoder = Decoder(sizes, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) float, RGB, normalised -> logits (B, classes, H / stride, W / stride)."""
        return self.decoder(*self.encoder(image))


def _stage(sizes: SegFormerSizes, index: int, ratio: int) -> Stage:
    channels = sizes.widths[index]
    of_blocks, of_maps = sizes.eps
    embed = PatchEmbedding(
        3 if index == 0 else sizes.widths[index - 1],
        channels,
        kernel=sizes.patches[index],
        stride=sizes.strides[index],
        eps=of_maps,
    )
    attention = {"heads": sizes.heads[index], "trained": sizes.ratios[index], "ratio": ratio}
    blocks = (
        Block(
            ReducedAttention(channels, **attention, eps=of_maps),
            MixMLP(channels, sizes.hidden(index), relu=False),
            eps=of_blocks,
        )
        for _ in range(sizes.depths[index])
    )
    return Stage(embed, blocks, eps=of_blocks)
