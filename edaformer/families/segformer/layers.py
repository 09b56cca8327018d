"""The deployed SegFormer layer by layer (families/layers.py), as the default rewrites leave it.

One head's output projection is part of its values', and a branch of the decoder is one 1x1
convolution before it is upsampled, or two where a ReLU stands between them: fewer multiply-adds
than cost.py counts.

Letters: C channels, N queries, M keys, R the trained sequence reduction, D the decoder's width.
"""

from __future__ import annotations

from collections.abc import Iterator

from edaformer.families.cost import Size, map_of, maps_of
from edaformer.families.layers import Layer, mlp_layers
from edaformer.families.segformer.sizes import SegFormerSizes


def place_layers(sizes: SegFormerSizes, size: Size, place: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of one stage, pooled by ``ratio``."""
    rows, columns = map_of(size, sizes.places.all[place].stride)
    block = [*_attention(sizes, place, (rows, columns), ratio)]
    block += mlp_layers(sizes.widths[place], sizes.hidden(place), rows * columns)
    depth = sizes.depths[place]
    return (*_embedding(sizes, size, place), *(layer.repeated(depth) for layer in block))


def fixed_layers(sizes: SegFormerSizes, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """What no ratio changes: normalisation before, branches, classifying and labels behind."""
    image, width = size[0] * size[1], sizes.decoder_width
    areas = [rows * columns for rows, columns in maps_of(sizes.places, size)]
    largest, small = areas[0] * width, sum(areas[1:]) * width
    branches = [
        Layer("branch", n * c * width, c * width, n * c, n * width)
        for n, c in zip(areas, sizes.widths, strict=True)
    ]
    if sizes.head == "convolutions":
        branches += [Layer("fuse branch", n * width**2, width**2, n * width, n * width)
                     for n in areas]  # fmt: skip
    classified = areas[0] * num_classes
    enlarged = classified * sizes.upsampling**2
    return (
        Layer("normalise", 0, 0, 0, 3 * image, image_bytes=3 * image),
        *branches,
        Layer("resize and add", 0, 0, small + largest, largest),
        Layer("classify", largest * num_classes, width * num_classes, largest, classified),
        *([Layer("resize logits", 0, 0, classified, enlarged)] if sizes.upsampling > 1 else []),
        Layer("resize and argmax", 0, 0, enlarged, 0, image_bytes=image),
    )  # fmt: skip


def _attention(sizes: SegFormerSizes, stage: int, size: Size, ratio: int) -> Iterator[Layer]:
    """A block's first half, over a map of ``size`` (H, W)."""
    c, trained = sizes.widths[stage], sizes.ratios[stage]
    n = size[0] * size[1] * c
    reduced = (size[0] // trained) * (size[1] // trained) * c
    m = (size[0] // ratio) * (size[1] // ratio) * c
    yield Layer("normalise tokens", 0, 2 * c, n, n)
    yield Layer("queries", n * c, c * c, n, n)
    if trained > 1:
        weights = (trained * c) ** 2
        yield Layer("reduce", reduced // c * weights, weights, n, reduced)
        yield Layer("normalise keys", 0, 2 * c, reduced, reduced)
    if ratio > trained:
        yield Layer("pool", 0, 0, reduced, m)
    yield Layer("keys", m * c, c * c, m, m)
    yield Layer("values", m * c, c * c, m, m)
    yield Layer("attention", 2 * n // c * m, 0, n + 2 * m, n)
    if sizes.heads[stage] > 1:
        yield Layer("project and add", n * c, c * c, 2 * n, n)
    else:
        yield Layer("add", 0, 0, 2 * n, n)


def _embedding(sizes: SegFormerSizes, size: Size, stage: int) -> Iterator[Layer]:
    """Patch embedding, and the two normalisations outside the blocks."""
    channels, before = sizes.widths[stage], sizes.widths[stage - 1] if stage else 3
    rows, columns = maps_of(sizes.places, size)[stage]
    above = maps_of(sizes.places, size)[stage - 1] if stage else size
    tokens, weights = rows * columns, sizes.patches[stage] ** 2 * before * channels
    read = above[0] * above[1] * before
    yield Layer("embed", tokens * weights, weights, read, tokens * channels)
    yield Layer("normalise map", 0, 2 * channels, tokens * channels, tokens * channels, times=2)
