"""What an image costs an EDAFormer, in multiply-adds and parameters (families/cost.py).

Letters: C channels, N queries, M keys, K hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass

from edaformer.families.cost import Cost, PartCost, Size, maps_of, mlp_macs, mlp_params
from edaformer.families.edaformer.sizes import (
    DECODER_DEPTHS,
    DECODER_STAGES,
    PATCH_KERNELS,
    Variant,
)
from edaformer.isr import ISR

_PARTS = ("stage 1", "stage 2", "stage 3", "stage 4", "decoder c4", "decoder c3", "decoder c2")


def count(variant: Variant, num_classes: int, size: tuple[int, int], isr: ISR) -> Cost:
    """One image of ``size`` (H, W), which the ISR fits."""
    maps = maps_of(isr.places, size)
    widths = variant.widths
    parts = []
    for stage in range(4):
        blocks = _Blocks(_PARTS[stage], widths[stage], variant.hidden(stage), variant.depths[stage])
        tokens = maps[stage][0] * maps[stage][1]
        weights = PATCH_KERNELS[stage] ** 2 * (widths[stage - 1] if stage else 3) * widths[stage]
        parts.append(blocks.cost(maps[stage], isr.encoder[stage], extra=tokens * weights))
    parts += count_decoder(variant, num_classes, maps[4:], isr.decoder)
    return Cost(count_params(variant, num_classes), tuple(parts))


def count_decoder(
    variant: Variant, num_classes: int, maps: list[Size], ratios: tuple[int, ...]
) -> list[PartCost]:
    """The decoder's part, over an encoder of the variant's widths; ``maps``: c4, c3 and c2."""
    parts = []
    for place, (stage, depth) in enumerate(zip(DECODER_STAGES, DECODER_DEPTHS, strict=True)):
        hidden = variant.decoder_hidden(stage)
        blocks = _Blocks(_PARTS[4 + place], variant.widths[stage], hidden, depth)
        parts.append(blocks.cost(maps[place], ratios[place]))
    pixels = maps[-1][0] * maps[-1][1]  # fuse and classify run at c2's size
    head = pixels * variant.fuse_width * (sum(variant.widths[1:]) + num_classes)
    return [*parts, PartCost("fuse and classify", head, 0)]


def count_params(variant: Variant, num_classes: int) -> int:
    """Trainable ones, without the published files' unused conv_seg."""
    total = 0
    for stage in range(4):
        width, channels_in = variant.widths[stage], 3 if stage == 0 else variant.widths[stage - 1]
        embed = width * channels_in * PATCH_KERNELS[stage] ** 2 + width + 2 * width
        block = _block_params(width, variant.hidden(stage))
        total += embed + variant.depths[stage] * block + 2 * width
    return total + decoder_params(variant, num_classes)


def decoder_params(variant: Variant, num_classes: int) -> int:
    """The decoder's, over an encoder of the variant's widths."""
    total = 0
    for stage, depth in zip(DECODER_STAGES, DECODER_DEPTHS, strict=True):
        width = variant.widths[stage]
        block = _block_params(width, variant.decoder_hidden(stage)) + 2 * width  # the key norm
        total += depth * block
    fuse = sum(variant.widths[1:]) * variant.fuse_width + 2 * variant.fuse_width
    return total + fuse + (variant.fuse_width + 1) * num_classes


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
