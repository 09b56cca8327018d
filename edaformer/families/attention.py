"""The transformer block that all families share: attention over pooled keys, then a Mix-MLP.

How keys and values come about is a family's own (``Attention``'s subclasses); the pooling ratio is
the only thing that Inference Spatial Reduction changes, and it has no weights.

Letters: B batch, C channels, h heads, d = C / h, H x W the map, N = H W queries, M keys.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class DotProductAttention(nn.Module):
    """softmax(q k^T / sqrt(d)) v; a module of its own so that exports can replace it."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, h, N, d), (B, h, M, d), (B, h, M, d) -> (B, h, N, d)."""
        return self.scores(q, k).softmax(dim=-1) @ v

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, h, N, d), (B, h, M, d) -> (B, h, N, M)."""
        return q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5


class Attention(nn.Module):
    """Multi-head attention with keys and values pooled by ``ratio``: what all families share."""

    query_pooling = 1  # by how much its queries are pooled, whatever the ratio

    def __init__(self, *, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.ratio = ratio
        self.attend: nn.Module = DotProductAttention()

    def split_heads(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, h, N, d)."""
        batch, count, channels = tokens.shape
        return tokens.reshape(batch, count, self.heads, channels // self.heads).transpose(1, 2)

    def join_heads(self, tokens: Tensor) -> Tensor:
        """(B, h, N, d) -> (B, N, C)."""
        return tokens.transpose(1, 2).flatten(2)


class MixMLP(nn.Module):
    """Linear -> ReLU -> depthwise 3x3 -> GELU -> Linear; the decoder's has no ReLU."""

    def __init__(self, channels: int, hidden: int, *, relu: bool, dilation: int = 1) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.relu = relu
        self.dwconv = nn.Conv2d(
            hidden, hidden, kernel_size=3, padding=dilation, dilation=dilation, groups=hidden
        )
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, N, C) -> (B, N, C) over a map of ``size`` (H, W)."""
        x = self.fc1(x)  # (B, N, hidden)
        if self.relu:
            x = functional.relu(x)
        x = to_tokens(self.dwconv(to_map(x, size)))
        return self.fc2(functional.gelu(x))


class Block(nn.Module):
    """x + Attention(LayerNorm(x)), then x + MLP(LayerNorm(x))."""

    def __init__(self, attention: Attention, mlp: MixMLP, *, eps: float) -> None:
        super().__init__()
        channels = mlp.fc1.in_features
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attention = attention
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.mlp = mlp

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, N, C) -> (B, N, C) over a map of ``size`` (H, W)."""
        x = x + self.attention(self.norm1(x), size)
        return x + self.mlp(self.norm2(x), size)


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, N, C) -> (B, C, H, W), as a view: channels stay the fastest axis (NHWC in memory)."""
    return tokens.reshape(tokens.shape[0], *size, tokens.shape[2]).permute(0, 3, 1, 2)


def to_tokens(feature: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, N, C), a view where the map is NHWC in memory."""
    return feature.permute(0, 2, 3, 1).flatten(1, 2)
