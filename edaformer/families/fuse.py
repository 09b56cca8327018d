"""What every decoder ends with: maps of all strides become one, at the size of the largest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Fuse(nn.Module):
    """Upsample maps to the last one's size, concatenate, 1x1 convolution -> BatchNorm -> ReLU."""

    def __init__(self, channels: Sequence[int], width: int, *, aligned: bool = False) -> None:
        """``channels`` of the maps, in the order the weights expect: c4, c3 and so on."""
        super().__init__()
        self.channels = tuple(channels)
        self.aligned = aligned
        self.conv = nn.Conv2d(sum(channels), width, kernel_size=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (B, C_i, H_i, W_i), the largest last -> (B, width, H, W) of that one."""
        size = (maps[-1].shape[2], maps[-1].shape[3])
        features = [*(upsample(m, size, aligned=self.aligned) for m in maps[:-1]), maps[-1]]
        return functional.relu(self.norm(self.conv(torch.cat(features, dim=1))))


class Convolve(nn.Module):
    """Convolution -> BatchNorm -> ReLU, of one map."""

    def __init__(self, channels: int, width: int, *, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, H, W)."""
        return functional.relu(self.norm(self.conv(feature)))


def upsample(feature: Tensor, size: tuple[int, int], *, aligned: bool = False) -> Tensor:
    """Bilinear, half-pixel centres, as the papers' decoders and evaluation; or corner to corner."""
    return functional.interpolate(feature, size=size, mode="bilinear", align_corners=aligned)
