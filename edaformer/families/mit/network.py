"""The MiT encoder (SegFormer, paper section 3.1), with ISR.

Computed as the project that trained it computes it, as its sizes say: transformers has PyTorch's
LayerNorm eps of 1e-5 everywhere (whatever ``layer_norm_eps`` says), NVlabs, mmsegmentation and
segmentation_models_pytorch have 1e-6 here or there. ISR is not MiT's own: a ratio of m times the
trained one average-pools the reduced map by m before keys and values are projected.

Letters: B batch, C channels, h heads, d = C / h, H x W the map, N = H W queries, M keys.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.attention import Attention, Block, MixMLP, to_map, to_tokens
from edaformer.families.mit.sizes import MiTSizes
from edaformer.families.network import Encoder, PatchEmbedding, Stage


def mit(sizes: MiTSizes, ratios: tuple[int, ...]) -> Encoder:
    """The encoder, freshly initialised, its stages pooled by ``ratios``."""
    return Encoder(_stage(sizes, index, ratio) for index, ratio in enumerate(ratios))


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


def _stage(sizes: MiTSizes, index: int, ratio: int) -> Stage:
    channels = sizes.widths[index]
    of_blocks, of_maps = sizes.eps
    embed = PatchEmbedding(
        sizes.channels_in(index),
        channels,
        kernel=sizes.patches[index],
        stride=sizes.strides[index],
        dilation=sizes.dilations[index],
        eps=of_maps,
    )
    attention = {"heads": sizes.heads[index], "trained": sizes.ratios[index], "ratio": ratio}
    blocks = (
        Block(
            ReducedAttention(channels, **attention, eps=of_maps),
            MixMLP(channels, sizes.hidden(index), relu=False, dilation=sizes.dilations[index]),
            eps=of_blocks,
        )
        for _ in range(sizes.depths[index])
    )
    return Stage(embed, blocks, eps=of_blocks)
