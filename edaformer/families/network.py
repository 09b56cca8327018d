"""What the networks of all families have in common, and what deployment and rewrites rely on.

An encoder of stages, each a patch embedding, blocks and a LayerNorm; a decoder that fuses maps and
classifies; attention that pools its keys and values, in places whose ratios are the ISR.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from edaformer.families.attention import Attention, Block, to_map, to_tokens
from edaformer.families.fuse import upsample
from edaformer.isr import ISR
from edaformer.preprocess import RELEASE, Normalisation

if TYPE_CHECKING:
    from edaformer.families.architecture import Architecture


class PatchEmbedding(nn.Module):
    """Overlapping patches: a strided convolution, then LayerNorm over channels."""

    def __init__(
        self, channels_in: int, channels: int, *, kernel: int, stride: int, eps: float = 1e-5,
        dilation: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        padding = dilation * (kernel // 2)
        self.proj = nn.Conv2d(channels_in, channels, kernel, stride, padding, dilation)
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, feature: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, C_in, H, W) -> tokens (B, N, C) and their map's size; strides round up."""
        feature = self.proj(feature)
        return self.norm(to_tokens(feature)), (feature.shape[2], feature.shape[3])


class Stage(nn.Module):
    """A patch embedding, the blocks, a LayerNorm."""

    def __init__(self, embed: PatchEmbedding, blocks: Iterable[Block], *, eps: float) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(embed.proj.out_channels, eps=eps)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C_in, H, W) -> the normalised map (B, C, H / stride, W / stride)."""
        tokens, size = self.embed(feature)
        for block in self.blocks:
            tokens = block(tokens, size)
        return to_map(self.norm(tokens), size)


class Encoder(nn.Module):
    """``stage1``, ``stage2`` ...: each one's map is its output and the next one's input."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        super().__init__()
        for number, stage in enumerate(stages, start=1):
            self.add_module(f"stage{number}", stage)

    @property
    def stages(self) -> list[Stage]:
        """All, in order."""
        return [cast(Stage, stage) for stage in self.children()]

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> every stage's map, from the largest to the smallest."""
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class Head(nn.Module):
    """A decoder: whatever comes first, then ``fuse`` makes one map and ``classify`` the logits."""

    fuse: nn.Module
    classify: nn.Conv2d
    upsampling = 1  # by how much the network itself upsamples its logits, corner to corner

    def decide(self, *maps: Tensor) -> Tensor:
        """What is fused, in the network's order -> logits, upsampled where trained so.

        Half-pixel upsampling is left to whoever asks for labels.
        """
        made: Tensor = self.classify(self.fuse(*maps))
        if self.upsampling == 1:
            return made
        size = (made.shape[2] * self.upsampling, made.shape[3] * self.upsampling)
        return upsample(made, size, aligned=True)

    def forward(self, *maps: Tensor) -> Tensor:
        """The encoder's maps, c1 first -> logits; ``fuse`` takes them from the smallest on."""
        return self.decide(*maps[::-1])


class Network(nn.Module):
    """The segmentation network: a normalised image in, logits at 1 / logits_stride out."""

    # The places whose outputs each place reads, in the order its part takes them; none: the image.
    # As here where the decoder attends to nothing
    reads: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (2,))
    fused: tuple[int, ...] = (3, 2, 1, 0)  # whose outputs the decoder fuses, in its order
    encoder: Encoder
    decoder: Head

    def __init__(self, variant: Architecture, num_classes: int) -> None:
        super().__init__()
        self.variant = variant
        self.num_classes = num_classes
        self.normalisation: Normalisation = RELEASE  # that its images are given

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) float, RGB, normalised -> logits (B, classes, H / stride, W / stride)."""
        logits: Tensor = self.decoder(*self.encoder(image))
        return logits

    @property
    def isr(self) -> ISR:
        """The pooling ratios in force."""
        return self.variant.places.isr(tuple(place[0].ratio for place in self.attention_places()))

    def set_isr(self, isr: ISR) -> None:
        """Change the pooling ratios; the weights serve every ratio (EDAFormer, section 3.3)."""
        for place, ratio in enumerate(isr.ratios):
            self.set_ratio(place, ratio)

    def set_ratio(self, place: int, ratio: int) -> None:
        """Change one of them; ``place`` counts the variant's places."""
        for attention in self.attention_places()[place]:
            attention.ratio = ratio

    @property
    def parts(self) -> Sequence[nn.Module]:
        """The parts that pool, each with ``blocks``, in the order of the variant's places."""
        return self.encoder.stages

    def attention_places(self) -> list[list[Attention]]:
        """The attention modules of each place."""
        blocks = [cast(nn.ModuleList, part.blocks) for part in self.parts]
        return [[cast(Block, block).attention for block in place] for place in blocks]
