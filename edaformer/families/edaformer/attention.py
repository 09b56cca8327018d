"""Embedding-free attention (paper section 3.1), the encoder's and the decoder's.

There are no query, key and value projections: the normalised tokens are the queries, and one
pooled, projected copy of them is both key and value.

Letters: B batch, C channels, h heads, d = C / h, H x W the map, N = H W queries, M keys.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.attention import Attention, to_map, to_tokens


class EmbeddingFreeAttention(Attention):
    """out = Linear(softmax(q k^T / sqrt(d)) v) with q = x and k = v = reduce(x).

    ``ratio`` is the pooling kernel and stride; a partial window at the border is dropped.
    """

    def __init__(self, channels: int, *, heads: int, ratio: int) -> None:
        super().__init__(heads=heads, ratio=ratio)
        self.kv = nn.Conv2d(channels, channels, kernel_size=1)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Attend from every token to the pooled map.

        Args:
            x: (B, N, C), the block's normalised input.
            size: (H, W) with H W = N.
        """
        kv = self.split_heads(self.reduce(to_map(x, size)))  # (B, h, M, d)
        out = self.attend(self.split_heads(x), kv, kv)  # (B, h, N, d)
        return self.proj(self.join_heads(out))

    def reduce(self, feature: Tensor) -> Tensor:
        """Keys and values: (B, C, H, W) pooled and projected to (B, M, C)."""
        if self.ratio > 1:
            feature = functional.avg_pool2d(feature, self.ratio)  # floors, like the published one
        return to_tokens(self.kv(feature))


class DecoderAttention(EmbeddingFreeAttention):
    """The decoder's: keys and values pass GELU(LayerNorm(.)) after the projection."""

    def __init__(self, channels: int, *, heads: int, ratio: int) -> None:
        super().__init__(channels, heads=heads, ratio=ratio)
        self.norm = nn.LayerNorm(channels)

    def reduce(self, feature: Tensor) -> Tensor:
        """Keys and values: (B, C, H, W) pooled, projected, normalised to (B, M, C)."""
        return functional.gelu(self.norm(super().reduce(feature)))
