"""Swap modules of a network for others, wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def replace(root: nn.Module, kind: type[M], make: Callable[[M], nn.Module | None]) -> int:
    """Put ``make(module)`` in the place of every module of exactly ``kind``; None leaves it.

    Returns:
        How many were replaced.
    """
    count = 0
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind and (made := make(child)) is not None:
                setattr(parent, name, made)
                count += 1
    return count


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with these weights (out, in)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _with(layer, weight, bias)


def pointwise(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A 1x1 convolution with these weights (out, in)."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None, device="meta")
    return _with(layer, weight[:, :, None, None], bias)


def depthwise(weight: Tensor, bias: Tensor | None, dilation: int = 1) -> nn.Conv2d:
    """A depthwise 3x3 convolution, its map's size kept, with these weights (channels, 1, 3, 3)."""
    channels = weight.shape[0]
    layer = nn.Conv2d(
        channels, channels, 3, padding=dilation, dilation=dilation, groups=channels,
        bias=bias is not None, device="meta",
    )  # fmt: skip
    return _with(layer, weight, bias)


L = TypeVar("L", nn.Linear, nn.Conv2d)


def _with(layer: L, weight: Tensor, bias: Tensor | None) -> L:
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer
