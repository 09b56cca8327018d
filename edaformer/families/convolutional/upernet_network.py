"""UPerNet's modules.

Letters: B batch, C channels of an encoder's map, D the decoder's width, H x W a map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edaformer.families.attention import to_map, to_tokens
from edaformer.families.fuse import Convolve, upsample

_EPS = 1e-6


class Normed(nn.LayerNorm):
    """LayerNorm over a map's channels."""

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        size = (feature.shape[2], feature.shape[3])
        return to_map(super().forward(to_tokens(feature)), size)


class UPerNetBody(nn.Module):
    """The pyramids; what comes out is c1's size."""

    def __init__(
        self, widths: tuple[int, ...], width: int, scales: tuple[int, ...], *, normed: bool
    ) -> None:
        super().__init__()
        self.scales = scales
        deep, lateral = widths[3], widths[:3]
        self.norms = nn.ModuleList(Normed(c, eps=_EPS) if normed else nn.Identity() for c in widths)
        self.pyramid = nn.ModuleList(Convolve(deep, width) for _ in scales)
        self.bottleneck = Convolve(deep + len(scales) * width, width, kernel=3)
        self.laterals = nn.ModuleList(Convolve(channels, width) for channels in lateral)
        self.smooth = nn.ModuleList(Convolve(width, width, kernel=3) for _ in lateral)
        self.join = Convolve(4 * width, width, kernel=3)

    def forward(self, *maps: Tensor) -> Tensor:
        """c4 (B, C4, H4, W4) to c1 (B, C1, H1, W1) -> (B, D, H1, W1)."""
        *lateral, deep = (norm(m) for norm, m in zip(self.norms, maps[::-1], strict=True))
        made = [self.pooled(deep)]
        for convolve, feature in list(zip(self.laterals, lateral, strict=True))[::-1]:
            size = (feature.shape[2], feature.shape[3])
            made.insert(0, convolve(feature) + upsample(made[0], size))
        smooth = [convolve(m) for convolve, m in zip(self.smooth, made[:-1], strict=True)]
        size = (made[0].shape[2], made[0].shape[3])
        large = (upsample(feature, size) for feature in (*smooth[1:], made[-1]))
        joined: Tensor = self.join(torch.cat([smooth[0], *large], dim=1))
        return joined

    def pooled(self, deep: Tensor) -> Tensor:
        """(B, C4, H, W) -> (B, D, H, W), with means of 1, 4, 9 and 36 windows beside it."""
        size = (deep.shape[2], deep.shape[3])
        means = zip(self.scales, self.pyramid, strict=True)
        large = [upsample(convolve(pool(deep, side)), size) for side, convolve in means]
        bottleneck: Tensor = self.bottleneck(torch.cat([deep, *large], dim=1))
        return bottleneck


def pool(feature: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side), the means of windows as adaptive_avg_pool2d has them.

    Windows overlap where ``side`` does not divide H or W. As a matrix product: no opset of ONNX has
    such pooling, and its decomposition gathers every window. Of tokens, whose channels TensorRT
    need not pad, as it pads rows and columns.
    """
    down, across = (_windows(side, length) for length in (feature.shape[2], feature.shape[3]))
    windows = (down[:, None, :, None] * across[None, :, None, :]).reshape(side**2, -1)
    return to_map(windows.to(feature) @ to_tokens(feature), (side, side))


def _windows(count: int, length: int) -> Tensor:
    """(count, length), float64: each row the weights of the mean over one window."""
    at, window = torch.arange(length), torch.arange(count)[:, None]
    first, behind = window * length // count, -((window + 1) * length // -count)
    inside = (at >= first) & (at < behind)
    return inside.to(torch.float64) / (behind - first)
