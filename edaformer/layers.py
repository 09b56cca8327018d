"""The deployed network layer by layer: multiply-adds, and the values each layer reads and writes.

The counts are those of edaformer.cost, by layer; what is pointwise (activation, softmax, bias,
residual sum) is taken as fused into its neighbour, as TensorRT does. A layer stands for one kernel,
so what it reads and writes crosses the memory once. No torch is needed.

Letters: C channels, N queries, M keys, K hidden width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edaformer.isr import EDAFORMER, ISR
from edaformer.variants import DECODER_DEPTHS, DECODER_STAGES, PATCH_KERNELS, Variant

if TYPE_CHECKING:
    from edaformer.families import Architecture

Size = tuple[int, int]  # (H, W)
STRIDES = tuple(place.stride for place in EDAFORMER.all)


@dataclass(frozen=True)
class Layer:
    """One kernel, and how often it occurs."""

    name: str
    macs: int
    weights: int  # values, read
    reads: int  # values of activations
    writes: int
    image_bytes: int = 0  # uint8 in and out: the frame, the labels
    times: int = 1

    def traffic(self, value_bytes: int = 2) -> int:
        """Bytes that cross the memory each time it runs; FP16 unless said otherwise."""
        return (self.weights + self.reads + self.writes) * value_bytes + self.image_bytes

    def repeated(self, times: int) -> Layer:
        """The same, ``times`` as often."""
        return replace(self, times=times * self.times)

    def activations(self, value_bytes: int = 2) -> int:
        """Bytes that are alive while it runs."""
        return (self.reads + self.writes) * value_bytes + self.image_bytes


def layers(
    variant: Architecture, num_classes: int, size: Size, isr: ISR | None = None
) -> tuple[Layer, ...]:
    """All layers at an input of ``size`` (H, W) pixels, padding included; ``isr`` None is base.

    Raises:
        ISRError: if a feature map cannot hold one pooling window.
    """
    isr = isr or variant.places.base
    isr.check_fits(*size)
    made = [place_layers(variant, size, at, ratio) for at, ratio in enumerate(isr.ratios)]
    return (
        *(layer for place in made for layer in place),
        *fixed_layers(variant, num_classes, size),
    )


def place_layers(variant: Architecture, size: Size, place: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of one of the variant's places, pooled by ``ratio``."""
    from edaformer.families import FAMILIES

    return FAMILIES[variant.family].place_layers(variant, size, place, ratio)


def fixed_layers(variant: Architecture, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """What no ratio changes."""
    from edaformer.families import FAMILIES

    return FAMILIES[variant.family].fixed_layers(variant, num_classes, size)


def place_layers_edaformer(
    variant: Variant, size: Size, place: int, ratio: int
) -> tuple[Layer, ...]:
    """EDAFormer's, of one of the seven places."""
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


def fixed_layers_edaformer(variant: Variant, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """EDAFormer's: normalisation before, fusing, classifying and labels behind."""
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


def mlp_layers(channels: int, hidden: int, tokens: int) -> tuple[Layer, ...]:
    """A block's second half: the MLP, and the normalisation before it."""
    n, wide, weights = tokens * channels, tokens * hidden, channels * hidden
    return (
        Layer("normalise again", 0, 2 * channels, n, n),
        Layer("widen", n * hidden, weights, n, wide),
        Layer("depthwise", 9 * wide, 9 * hidden, wide, wide),
        Layer("narrow and add", wide * channels, weights, wide + n, n),
    )


def _embedding(variant: Variant, size: Size, stage: int) -> Iterator[Layer]:
    """Patch embedding, and the two normalisations outside the blocks."""
    channels = variant.widths[stage]
    before = variant.widths[stage - 1] if stage else 3
    read = (_area(size, STRIDES[stage - 1]) if stage else size[0] * size[1]) * before
    tokens = _area(size, STRIDES[stage])
    weights = PATCH_KERNELS[stage] ** 2 * before * channels
    yield Layer("embed", tokens * weights, weights, read, tokens * channels)
    yield Layer("normalise map", 0, 2 * channels, tokens * channels, tokens * channels, times=2)


def map_of(size: Size, stride: int) -> Size:
    """(H, W) of a feature map of this stride."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _area(size: Size, stride: int) -> int:
    rows, columns = map_of(size, stride)
    return rows * columns
