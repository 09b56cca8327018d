"""Run the MLP on the map, its linear layers as 1x1 convolutions.

Exact: a linear layer applied to every token is a 1x1 convolution of the map of those tokens, and
GELU does not care in which order it meets its elements. TensorRT then puts bias and ReLU into the
first convolution's kernel and GELU into the depthwise one's; behind a matrix product and a
transposition each of them is a kernel of its own that reads and writes the widest tensor there is.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edaformer.export.rewrites.replace import pointwise, replace
from edaformer.export.wrapper import Deployment
from edaformer.families.attention import MixMLP, to_map, to_tokens


class MapMLP(nn.Module):
    """1x1 convolution -> ReLU -> depthwise 3x3 -> GELU -> 1x1 convolution."""

    def __init__(self, mlp: MixMLP) -> None:
        super().__init__()
        self.fc1 = pointwise(mlp.fc1.weight, mlp.fc1.bias)
        self.relu = mlp.relu
        self.dwconv = mlp.dwconv
        self.fc2 = pointwise(mlp.fc2.weight, mlp.fc2.bias)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, N, C) -> (B, N, C) over a map of ``size`` (H, W)."""
        x = self.fc1(to_map(x, size))  # (B, hidden, H, W)
        if self.relu:
            x = functional.relu(x)
        return to_tokens(self.fc2(functional.gelu(self.dwconv(x))))


def map_mlp(deployment: Deployment) -> int:
    """Rewrite every MLP in place; returns how many."""
    return replace(deployment, MixMLP, MapMLP)
