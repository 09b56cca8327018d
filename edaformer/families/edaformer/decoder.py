"""The all-attention decoder (paper section 3.2): attention on c4, c3 and c2, fused at 1/8."""

from __future__ import annotations

from torch import Tensor, nn

from edaformer.families.attention import Block, MixMLP, to_map, to_tokens
from edaformer.families.edaformer.attention import DecoderAttention
from edaformer.families.edaformer.sizes import DECODER_DEPTHS, DECODER_STAGES, HEADS, Variant
from edaformer.families.fuse import Fuse
from edaformer.families.network import Head

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

    def forward(self, *maps: Tensor) -> Tensor:
        """The encoder's maps, c1 first, which is not used -> logits (B, classes, H / 8, W / 8)."""
        _, c2, c3, c4 = maps
        return self.decide(self.c4(c4), self.c3(c3), self.c2(c2))
