"""What an input costs: multiply-adds and parameters, exactly, from the sizes alone.

Counted, as the paper's GFLOPs are: convolutions, linear layers and both attention products; not
normalisation, pooling, activations or resizing. No torch is needed, so thousands of ISR settings
are counted in a moment. EDAFormer's counting is here, another family's in its own folder.

Letters: C channels, N queries, M keys, K hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edaformer.isr import ISR
from edaformer.variants import (
    DECODER_DEPTHS,
    DECODER_STAGES,
    PATCH_KERNELS,
    Variant,
)

if TYPE_CHECKING:
    from edaformer.families import Architecture

_PARTS = ("stage 1", "stage 2", "stage 3", "stage 4", "decoder c4", "decoder c3", "decoder c2")


@dataclass(frozen=True)
class PartCost:
    """One part of the network, in multiply-adds."""

    name: str
    macs: int
    attention_macs: int  # the products q k^T and p v


@dataclass(frozen=True)
class Cost:
    """What one image costs."""

    params: int
    parts: tuple[PartCost, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds in all."""
        return sum(part.macs for part in self.parts)

    @property
    def gmacs(self) -> float:
        """10^9 multiply-adds."""
        return self.macs / 1e9

    @property
    def attention_share(self) -> float:
        """The fraction spent in the attention products."""
        return sum(part.attention_macs for part in self.parts) / self.macs


def count(
    variant: Architecture, num_classes: int, size: tuple[int, int], isr: ISR | None = None
) -> Cost:
    """Count one image of ``size`` (H, W) pixels, padding included; ``isr`` None is its base.

    Raises:
        ISRError: if a feature map cannot hold one pooling window.
    """
    from edaformer.families import FAMILIES

    isr = isr or variant.places.base
    isr.check_fits(*size)
    return FAMILIES[variant.family].count(variant, num_classes, size, isr)


def count_params(variant: Architecture, num_classes: int) -> int:
    """Trainable parameters."""
    from edaformer.families import FAMILIES

    return FAMILIES[variant.family].count_params(variant, num_classes)


def count_edaformer(variant: Variant, num_classes: int, size: tuple[int, int], isr: ISR) -> Cost:
    """An EDAFormer's, of an input that fits."""
    maps = maps_of(isr, size)
    widths = variant.widths
    parts = []
    for stage in range(4):
        blocks = _Blocks(_PARTS[stage], widths[stage], variant.hidden(stage), variant.depths[stage])
        tokens = maps[stage][0] * maps[stage][1]
        weights = PATCH_KERNELS[stage] ** 2 * (widths[stage - 1] if stage else 3) * widths[stage]
        parts.append(blocks.cost(maps[stage], isr.encoder[stage], extra=tokens * weights))
    for place, (stage, depth) in enumerate(zip(DECODER_STAGES, DECODER_DEPTHS, strict=True)):
        hidden = variant.decoder_hidden(stage)
        blocks = _Blocks(_PARTS[4 + place], widths[stage], hidden, depth)
        parts.append(blocks.cost(maps[4 + place], isr.decoder[place]))
    pixels = maps[1][0] * maps[1][1]  # fuse and classify run at c2's size
    head = pixels * variant.fuse_width * (sum(variant.widths[1:]) + num_classes)
    parts.append(PartCost("fuse and classify", head, 0))
    return Cost(count_params_edaformer(variant, num_classes), tuple(parts))


def count_params_edaformer(variant: Variant, num_classes: int) -> int:
    """An EDAFormer's trainable parameters, without the published files' unused conv_seg."""
    total = 0
    for stage in range(4):
        width, channels_in = variant.widths[stage], 3 if stage == 0 else variant.widths[stage - 1]
        embed = width * channels_in * PATCH_KERNELS[stage] ** 2 + width + 2 * width
        block = _block_params(width, variant.hidden(stage))
        total += embed + variant.depths[stage] * block + 2 * width
    for stage, depth in zip(DECODER_STAGES, DECODER_DEPTHS, strict=True):
        width = variant.widths[stage]
        block = _block_params(width, variant.decoder_hidden(stage)) + 2 * width  # the key norm
        total += depth * block
    fuse = sum(variant.widths[1:]) * variant.fuse_width + 2 * variant.fuse_width
    return total + fuse + (variant.fuse_width + 1) * num_classes


def maps_of(isr: ISR, size: tuple[int, int]) -> list[tuple[int, int]]:
    """The (H, W) of the map that each place attends from, for an input of ``size``."""
    return [(-(-size[0] // p.stride), -(-size[1] // p.stride)) for p in isr.places.all]


def mlp_macs(channels: int, hidden: int) -> int:
    """A Mix-MLP's multiply-adds a token: two linear layers and a depthwise 3x3."""
    return hidden * (2 * channels + 9)


def mlp_params(channels: int, hidden: int) -> int:
    """Its parameters, biases included."""
    return (channels + 1) * hidden + 10 * hidden + (hidden + 1) * channels


@dataclass(frozen=True)
class _Blocks:
    """``depth`` equal blocks."""

    name: str
    channels: int
    hidden: int
    depth: int

    def cost(self, size: tuple[int, int], ratio: int, extra: int = 0) -> PartCost:
        """On a map of ``size``, pooled by ``ratio`` for the keys, plus ``extra`` multiply-adds."""
        queries = size[0] * size[1]
        keys = (size[0] // ratio) * (size[1] // ratio)
        attention = 2 * queries * keys * self.channels
        projections = (keys + queries) * self.channels**2
        block = attention + projections + queries * mlp_macs(self.channels, self.hidden)
        return PartCost(self.name, self.depth * block + extra, self.depth * attention)


def _block_params(channels: int, hidden: int) -> int:
    return 4 * channels + 2 * (channels**2 + channels) + mlp_params(channels, hidden)
