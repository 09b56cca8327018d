"""The all-attention decoder (paper section 3.2): attention on c4, c3 and c2, fused at 1/8."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.model.attention import Block, DecoderAttention, MixMLP, to_map, to_tokens
from edaformer.model.network import Head
from edaformer.variants import DECODER_DEPTHS, DECODER_STAGES, HEADS, Variant

_EPS = 1e-5


class Branch(nn.Module):
    """The decoder's blocks on one encoder output."""

    def __init__(self, variant: Variant, stage: int, *, depth: int, ratio: int) -> None:
        super().__init__()
        channels = variant.widths[stage]
        self.blocks = nn.ModuleList(
            Block(
                DecoderAttention(channels, heads=HEADS[stage], ratio=ratio),
                MixMLP(channels, variant.decoder_hidden(stage), relu=False),
                eps=_EPS,
            )
            for _ in range(depth)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        size = (feature.shape[2], feature.shape[3])
        tokens = to_tokens(feature)
        for block in self.blocks:
            tokens = block(tokens, size)
        return to_map(tokens, size)


class Fuse(nn.Module):
    """Upsample maps to the last one's size, concatenate, 1x1 convolution -> BatchNorm -> ReLU."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        """``channels`` of the maps, in the order the weights expect: c4, c3 and so on."""
        super().__init__()
        self.channels = tuple(channels)
        self.conv = nn.Conv2d(sum(channels), width, kernel_size=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (B, C_i, H_i, W_i), the largest last -> (B, width, H, W) of that one."""
        size = (maps[-1].shape[2], maps[-1].shape[3])
        features = [*(upsample(feature, size) for feature in maps[:-1]), maps[-1]]
        return functional.relu(self.norm(self.conv(torch.cat(features, dim=1))))


class Decoder(Head):
    """Attention branches on c4, c3, c2; fuse; classify."""

    def __init__(self, variant: Variant, num_classes: int, ratios: tuple[int, ...]) -> None:
        super().__init__()
        stages = zip(DECODER_STAGES, DECODER_DEPTHS, ratios, strict=True)
        self.c4, self.c3, self.c2 = (
            Branch(variant, stage, depth=depth, ratio=ratio) for stage, depth, ratio in stages
        )
        self.fuse = Fuse([variant.widths[stage] for stage in DECODER_STAGES], variant.fuse_width)
        self.classify = nn.Conv2d(variant.fuse_width, num_classes, kernel_size=1)

    @property
    def branches(self) -> tuple[Branch, Branch, Branch]:
        """In the paper's order: c4, c3, c2."""
        return self.c4, self.c3, self.c2

    def forward(self, c2: Tensor, c3: Tensor, c4: Tensor) -> Tensor:
        """Encoder maps -> logits (B, classes, H / 8, W / 8)."""
        return self.classify(self.fuse(self.c4(c4), self.c3(c3), self.c2(c2)))


def upsample(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres (align_corners=False), as the paper's decoder and evaluation."""
    return functional.interpolate(feature, size=size, mode="bilinear", align_corners=False)
