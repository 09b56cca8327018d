"""The embedding-free transformer encoder, EFT (paper section 3.2): four stages, strides 4 to 32."""

from __future__ import annotations

from torch import Tensor, nn

from edaformer.model.attention import Block, EmbeddingFreeAttention, MixMLP, to_map, to_tokens
from edaformer.variants import HEADS, PATCH_KERNELS, PATCH_STRIDES, Variant

_EPS = 1e-6  # LayerNorm in blocks and at stage ends; the patch embeddings keep PyTorch's 1e-5


class PatchEmbedding(nn.Module):
    """Overlapping patches: a strided convolution, then LayerNorm over channels."""

    def __init__(self, channels_in: int, channels: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, feature: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, C_in, H, W) -> tokens (B, N, C) and their map's size; strides round up."""
        feature = self.proj(feature)
        return self.norm(to_tokens(feature)), (feature.shape[2], feature.shape[3])


class Stage(nn.Module):
    """A patch embedding, the blocks, a LayerNorm."""

    def __init__(self, variant: Variant, index: int, *, ratio: int) -> None:
        super().__init__()
        channels = variant.widths[index]
        self.embed = PatchEmbedding(
            3 if index == 0 else variant.widths[index - 1],
            channels,
            kernel=PATCH_KERNELS[index],
            stride=PATCH_STRIDES[index],
        )
        self.blocks = nn.ModuleList(
            Block(
                EmbeddingFreeAttention(channels, heads=HEADS[index], ratio=ratio),
                MixMLP(channels, variant.hidden(index), relu=True),
                eps=_EPS,
            )
            for _ in range(variant.depths[index])
        )
        self.norm = nn.LayerNorm(channels, eps=_EPS)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C_in, H, W) -> the normalised map (B, C, H / stride, W / stride)."""
        tokens, size = self.embed(feature)
        for block in self.blocks:
            tokens = block(tokens, size)
        return to_map(self.norm(tokens), size)


class EFT(nn.Module):
    """Four stages; each one's normalised map is its output and the next one's input."""

    def __init__(self, variant: Variant, ratios: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stage1 = Stage(variant, 0, ratio=ratios[0])
        self.stage2 = Stage(variant, 1, ratio=ratios[1])
        self.stage3 = Stage(variant, 2, ratio=ratios[2])
        self.stage4 = Stage(variant, 3, ratio=ratios[3])

    @property
    def stages(self) -> tuple[Stage, Stage, Stage, Stage]:
        """The four, in order."""
        return self.stage1, self.stage2, self.stage3, self.stage4

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) -> c2, c3, c4 at strides 8, 16 and 32; the decoder does not use c1."""
        c1 = self.stage1(image)
        c2 = self.stage2(c1)
        c3 = self.stage3(c2)
        return c2, c3, self.stage4(c3)
