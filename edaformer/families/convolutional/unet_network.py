"""Unet's modules.

Letters: B batch, C channels of an encoder's map, D of the decoder's, H x W a map.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.fuse import Convolve


class Level(nn.Module):
    """Twice as large, the encoder's map beside it, two convolutions."""

    def __init__(self, channels: int, skipped: int, width: int) -> None:
        super().__init__()
        self.first = Convolve(channels + skipped, width, kernel=3)
        self.second = Convolve(width, width, kernel=3)

    def forward(self, feature: Tensor, *beside: Tensor) -> Tensor:
        """(B, D, H, W), with or without (B, C, 2 H, 2 W) -> (B, D', 2 H, 2 W)."""
        large = functional.interpolate(feature, scale_factor=2.0, mode="nearest")
        made: Tensor = self.second(self.first(torch.cat([large, *beside], dim=1)))
        return made


class UnetBody(nn.Module):
    """The levels; what comes out is the image's size."""

    def __init__(self, levels: Iterable[tuple[int, int, int]]) -> None:
        """``levels``: what each takes, what stands beside it, what it makes."""
        super().__init__()
        self.levels = nn.ModuleList(Level(*level) for level in levels)

    def forward(self, deep: Tensor, *beside: Tensor) -> Tensor:
        """c4 (B, C4, H, W) to c1 (B, C1, 8 H, 8 W) -> (B, D, 32 H, 32 W)."""
        made = deep
        for at, level in enumerate(self.levels):
            made = level(made, *beside[at : at + 1])
        return made
