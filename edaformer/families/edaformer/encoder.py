"""The embedding-free transformer encoder, EFT (paper section 3.2): four stages, strides 4 to 32."""

from __future__ import annotations

from edaformer.families.attention import Block, MixMLP
from edaformer.families.edaformer.attention import EmbeddingFreeAttention
from edaformer.families.edaformer.sizes import HEADS, PATCH_KERNELS, PATCH_STRIDES, Variant
from edaformer.families.network import Encoder, PatchEmbedding, Stage

_EPS = 1e-6  # LayerNorm in blocks and at stage ends; the patch embeddings keep PyTorch's 1e-5


class EFT(Encoder):
    """Four stages of blocks with embedding-free attention."""

    def __init__(self, variant: Variant, ratios: tuple[int, ...]) -> None:
        super().__init__(_stage(variant, index, ratio) for index, ratio in enumerate(ratios))


def _stage(variant: Variant, index: int, ratio: int) -> Stage:
    channels = variant.widths[index]
    embed = PatchEmbedding(
        3 if index == 0 else variant.widths[index - 1],
        channels,
        kernel=PATCH_KERNELS[index],
        stride=PATCH_STRIDES[index],
    )
    blocks = (
        Block(
            EmbeddingFreeAttention(channels, heads=HEADS[index], ratio=ratio),
            MixMLP(channels, variant.hidden(index), relu=True),
            eps=_EPS,
        )
        for _ in range(variant.depths[index])
    )
    return Stage(embed, blocks, eps=_EPS)
