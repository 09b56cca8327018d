"""The deployed EDAFormer layer by layer (families/layers.py).

Letters: C channels, N queries, M keys, K hidden width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edaformer.families.cost import Size, map_of
from edaformer.families.edaformer.sizes import (
    DECODER_DEPTHS,
    DECODER_STAGES,
    PATCH_KERNELS,
    Variant,
)
from edaformer.families.layers import Layer, mlp_layers
from edaformer.isr import EDAFORMER

STRIDES = tuple(place.stride for place in EDAFORMER.all)


def place_layers(variant: Variant, size: Size, place: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of one of the seven places, pooled by ``ratio``."""
    rows, columns = map_of(size, STRIDES[place])
    if place < len(PATCH_KERNELS):
        blocks = _Blocks(variant.widths[place], variant.hidden(place), variant.depths[place])
        around = tuple(_embedding(variant, size, place))
    else:
        stage = DECODER_STAGES[place - len(PATCH_KERNELS)]
        depth = DECODER_DEPTHS[place - len(PATCH_KERNELS)]
        blocks = _Blocks(variant.widths[stage], variant.decoder_hidden(stage), depth)
        around = ()
    return (*around, *blocks.layers(rows * columns, (rows // ratio) * (columns // ratio), ratio))


def fixed_layers(variant: Variant, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """What no ratio changes: normalisation before, fusing, classifying and labels behind."""
    pixels, image = _area(size, STRIDES[1]), size[0] * size[1]
    widths, fused = sum(variant.widths[1:]), variant.fuse_width
    small = sum(_area(size, STRIDES[stage]) * variant.widths[stage] for stage in (2, 3))
    return (
        Layer("normalise", 0, 0, 0, 3 * image, image_bytes=3 * image),
        Layer("resize c4 and c3", 0, 0, small, pixels * sum(variant.widths[2:])),
        Layer("fuse", pixels * widths * fused, widths * fused, pixels * widths, pixels * fused),
        Layer("classify", pixels * fused * num_classes, fused * num_classes, pixels * fused,
              pixels * num_classes),
        Layer("resize and argmax", 0, 0, pixels * num_classes, 0, image_bytes=image),
    )  # fmt: skip


@dataclass(frozen=True)
class _Blocks:
    """``depth`` equal blocks."""

    channels: int
    hidden: int
    depth: int

    def layers(self, queries: int, keys: int, ratio: int) -> Iterator[Layer]:
        """Those of all blocks."""
        c, n, m = self.channels, queries * self.channels, keys * self.channels
        made = [
            Layer("normalise tokens", 0, 2 * c, n, n),
            Layer("keys", m * c, c * c, m, m),
            Layer("attention", 2 * queries * m, 0, n + m, n),
            Layer("project and add", n * c, c * c, 2 * n, n),
            *mlp_layers(c, self.hidden, queries),
        ]
        if ratio > 1:
            made.append(Layer("pool", 0, 0, n, m))
        for one in made:
            yield one.repeated(self.depth)


def _embedding(variant: Variant, size: Size, stage: int) -> Iterator[Layer]:
    """Patch embedding, and the two normalisations outside the blocks."""
    channels = variant.widths[stage]
    before = variant.widths[stage - 1] if stage else 3
    read = (_area(size, STRIDES[stage - 1]) if stage else size[0] * size[1]) * before
    tokens = _area(size, STRIDES[stage])
    weights = PATCH_KERNELS[stage] ** 2 * before * channels
    yield Layer("embed", tokens * weights, weights, read, tokens * channels)
    yield Layer("normalise map", 0, 2 * channels, tokens * channels, tokens * channels, times=2)


def _area(size: Size, stride: int) -> int:
    rows, columns = map_of(size, stride)
    return rows * columns
