"""DeepLabV3+'s modules.

Letters: B batch, C channels of an encoder's map, D the decoder's width, H x W a map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edaformer.families.fuse import Convolve, upsample


class Separable(nn.Module):
    """A depthwise 3x3 convolution, then a 1x1 with BatchNorm and ReLU."""

    def __init__(self, channels: int, width: int, *, rate: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, 3, padding=rate, dilation=rate, groups=channels, bias=False
        )
        self.pointwise = Convolve(channels, width)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W)."""
        made: Tensor = self.pointwise(self.depthwise(feature))
        return made


class DeepLabBody(nn.Module):
    """What comes out is c1's size; c2 and c3 are not looked at."""

    def __init__(
        self, widths: tuple[int, ...], width: int, beside: int, rates: tuple[int, ...]
    ) -> None:
        super().__init__()
        deep = widths[3]
        self.here = Convolve(deep, width)
        self.around = nn.ModuleList(Separable(deep, width, rate=rate) for rate in rates)
        self.mean = Convolve(deep, width)
        self.project = Convolve((2 + len(rates)) * width, width)
        self.smooth = Separable(width, width)
        self.beside = Convolve(widths[0], beside)
        self.join = Separable(width + beside, width)

    def forward(self, deep: Tensor, *maps: Tensor) -> Tensor:
        """c4 (B, C4, H / 4, W / 4) to c1 (B, C1, H, W) -> (B, D, H, W)."""
        large = maps[-1]
        size = (large.shape[2], large.shape[3])
        context = upsample(self.smooth(self.pyramid(deep)), size, aligned=True)
        joined: Tensor = self.join(torch.cat([context, self.beside(large)], dim=1))
        return joined

    def pyramid(self, deep: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W): each position, ever further around it, and all of them."""
        mean = self.mean(deep.mean(dim=(2, 3), keepdim=True))
        seen = [self.here(deep), *(convolve(deep) for convolve in self.around)]
        project: Tensor = self.project(torch.cat([*seen, mean.expand_as(seen[0])], dim=1))
        return project
