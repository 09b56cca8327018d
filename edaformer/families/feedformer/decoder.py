"""FeedFormer's decoder (paper section 3): c4, c3 and c2 each attend to c1; all four are fused.

Queries are a deep map's tokens; keys and values come of c1, average-pooled, so that details are fed
into the deep maps at little cost. The Cityscapes head pools the queries as well and upsamples what
attention gives. ISR pools c1 further.

Letters: B batch, C channels of the deep map, C1 of c1, H x W and H1 x W1 the maps, N = H W queries,
M keys.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.attention import Attention, Block, MixMLP, to_map, to_tokens
from edaformer.families.feedformer.sizes import (
    BRANCHES,
    DECODER_HEADS,
    STAGES,
    FeedFormerSizes,
)
from edaformer.families.fuse import Fuse, upsample
from edaformer.families.network import Head

_EPS = 1e-5


class PooledTokens(nn.Module):
    """Average pooling, a 1x1 convolution, LayerNorm, GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.norm = nn.LayerNorm(channels, eps=_EPS)

    def forward(self, feature: Tensor, ratio: int) -> Tensor:
        """(B, C, H, W) -> (B, floor(H / ratio) floor(W / ratio), C)."""
        if ratio > 1:
            feature = functional.avg_pool2d(feature, ratio)
        return functional.gelu(self.norm(to_tokens(self.conv(feature))))


class CrossAttention(Attention):
    """out = Linear(softmax(q k^T / sqrt(d)) v); keys and values of another map, pooled."""

    def __init__(self, channels: int, source_channels: int, *, heads: int, ratio: int) -> None:
        super().__init__(heads=heads, ratio=ratio)
        self.q = nn.Linear(channels, channels, bias=False)
        self.k = nn.Linear(source_channels, channels, bias=False)
        self.v = nn.Linear(source_channels, channels, bias=False)
        self.source = PooledTokens(source_channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, size: tuple[int, int], source: Tensor) -> Tensor:
        """Attend from every token to the pooled source.

        Args:
            x: (B, N, C), the block's normalised input.
            size: (H, W) with H W = N.
            source: (B, C1, H1, W1), normalised.

        Returns:
            (B, N, C).
        """
        reduced = self.source(source, self.ratio)  # (B, M, C1)
        asked = self.q(self.ask(x, size))
        q, k, v = (self.split_heads(t) for t in (asked, self.k(reduced), self.v(reduced)))
        return self.answer(self.proj(self.join_heads(self.attend(q, k, v))), size)

    def ask(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """What queries are projected from."""
        del size
        return x

    def answer(self, out: Tensor, size: tuple[int, int]) -> Tensor:
        """One token for each of the map."""
        del size
        return out


class PooledCrossAttention(CrossAttention):
    """The Cityscapes head's: queries pooled by 2, and the result upsampled.

    Sides that are odd are rounded down before and upsampled from there, where the published code
    fails.
    """

    query_pooling = 2

    def __init__(self, channels: int, source_channels: int, *, heads: int, ratio: int) -> None:
        super().__init__(channels, source_channels, heads=heads, ratio=ratio)
        self.queries = PooledTokens(channels)

    def ask(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, N, C) -> (B, floor(H / 2) floor(W / 2), C)."""
        return self.queries(to_map(x, size), self.query_pooling)

    def answer(self, out: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, floor(H / 2) floor(W / 2), C) -> (B, N, C)."""
        small = (size[0] // self.query_pooling, size[1] // self.query_pooling)
        return to_tokens(upsample(to_map(out, small), size))


class CrossBlock(Block):
    """x + Attention(LayerNorm(x), LayerNorm(source)), then x + MLP(LayerNorm(x))."""

    attention: CrossAttention

    def __init__(self, attention: CrossAttention, mlp: MixMLP) -> None:
        super().__init__(attention, mlp, eps=_EPS)
        self.source_norm = nn.LayerNorm(attention.k.in_features, eps=_EPS)

    def forward(self, x: Tensor, size: tuple[int, int], source: Tensor) -> Tensor:  # type: ignore[override]
        """(B, N, C) -> (B, N, C) over a map of ``size`` (H, W), by a ``source`` (B, C1, H1, W1)."""
        source_size = (source.shape[2], source.shape[3])
        source = to_map(self.source_norm(to_tokens(source)), source_size)
        x = x + self.attention(self.norm1(x), size, source)
        return x + self.mlp(self.norm2(x), size)


class Branch(nn.Module):
    """The block of one deep map."""

    def __init__(self, sizes: FeedFormerSizes, stage: int, *, heads: int, ratio: int) -> None:
        super().__init__()
        channels = sizes.widths[stage]
        kind = PooledCrossAttention if sizes.head == "city" else CrossAttention
        attention = kind(channels, sizes.widths[0], heads=heads, ratio=ratio)
        mlp = MixMLP(channels, sizes.decoder_hidden(stage), relu=False)
        self.blocks = nn.ModuleList([CrossBlock(attention, mlp)])

    def forward(self, feature: Tensor, c1: Tensor) -> Tensor:
        """(B, C, H, W) and (B, C1, H1, W1) -> (B, C, H, W)."""
        size = (feature.shape[2], feature.shape[3])
        tokens = to_tokens(feature)
        for block in self.blocks:
            tokens = block(tokens, size, c1)
        return to_map(tokens, size)


class Decoder(Head):
    """Cross attention of c4, c3, c2 to c1; fuse all at c1's size; classify."""

    def __init__(self, sizes: FeedFormerSizes, num_classes: int, ratios: tuple[int, ...]) -> None:
        super().__init__()
        for name, stage, heads, ratio in zip(BRANCHES, STAGES, DECODER_HEADS, ratios, strict=True):
            self.add_module(name, Branch(sizes, stage, heads=heads, ratio=ratio))
        self.fuse = Fuse(sizes.widths[::-1], sizes.decoder_width)
        self.classify = nn.Conv2d(sizes.decoder_width, num_classes, kernel_size=1)

    @property
    def branches(self) -> tuple[nn.Module, ...]:
        """In the paper's order: c4, c3, c2."""
        return tuple(self.get_submodule(name) for name in BRANCHES)

    def forward(self, *maps: Tensor) -> Tensor:
        """The encoder's maps, c1 to c4 -> logits (B, classes, H1, W1)."""
        c1, *deep = maps
        fed = (branch(m, c1) for branch, m in zip(self.branches, deep[::-1], strict=True))
        return self.decide(*fed, c1)
