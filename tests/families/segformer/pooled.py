"""ISR by pooling in other people's networks: what ours is held to."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Pooled(nn.Module):
    """transformers' sequence reduction, or none where R is 1, and what ISR adds to it."""

    def __init__(self, reduction: nn.Module | None, ratio: int, factor: int) -> None:
        super().__init__()
        self.reduction, self.ratio, self.factor = reduction, ratio, factor

    def forward(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        if self.reduction is not None:
            tokens = self.reduction(tokens, height, width)
        size = (height // self.ratio, width // self.ratio)
        return pool_tokens(tokens, size, self.factor)


def pool_tokens(tokens: torch.Tensor, size: tuple[int, int], factor: int) -> torch.Tensor:
    """(B, N, C) over a map of ``size`` -> its windows' means, (B, M, C)."""
    feature = tokens.transpose(1, 2).unflatten(2, size)
    return functional.avg_pool2d(feature, factor).flatten(2).transpose(1, 2)


def pool(hugging: Any, factors: tuple[int, ...]) -> None:
    """ISR on transformers' own modules."""
    for stage, factor in zip(hugging.segformer.stages, factors, strict=True):
        for block in stage.blocks:
            attention = block.attention
            ratio = attention.sequence_reduction_ratio
            own = attention.sequence_reduction if ratio > 1 else None
            attention.sequence_reduction = Pooled(own, ratio, factor)
            attention.sequence_reduction_ratio = 2  # above 1: it asks the reduction


class PooledKeys(nn.Module):
    """A layer of keys, values or both, of a pooled map."""

    def __init__(self, layer: nn.Module, size: tuple[int, int], factor: int) -> None:
        super().__init__()
        self.layer, self.size, self.factor = layer, size, factor

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.layer(pool_tokens(tokens, self.size, self.factor))
