"""The deployed FeedFormer layer by layer (families/layers.py), as the default rewrites leave it.

A branch's part of the fuse convolution is computed before it is upsampled: fewer multiply-adds than
cost.py counts.

Letters: N positions of the deep map or queries, C its channels, M keys, S channels of c1, D the
decoder's width.
"""

from __future__ import annotations

from collections.abc import Iterator

from edaformer.families.cost import Size, map_of
from edaformer.families.feedformer.sizes import STAGES, FeedFormerSizes
from edaformer.families.layers import Layer, mlp_layers
from edaformer.families.mit.layers import stage_layers

_ENCODER = 4  # places


def place_layers(sizes: FeedFormerSizes, size: Size, place: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of a stage, or of a cross attention, pooled by ``ratio``."""
    if place < _ENCODER:
        return stage_layers(sizes, size, place, ratio)
    return tuple(_branch(sizes, size, STAGES[place - _ENCODER], ratio))


def fixed_layers(sizes: FeedFormerSizes, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """What no ratio changes: normalisation before, branches, classifying and labels behind."""
    image, width = size[0] * size[1], sizes.decoder_width
    areas = [_area(size, stride) for stride in sizes.map_strides]
    largest, small = areas[0] * width, sum(areas[1:]) * width
    classified = areas[0] * num_classes
    return (
        Layer("normalise", 0, 0, 0, 3 * image, image_bytes=3 * image),
        *(
            Layer("branch", n * c * width, c * width, n * c, n * width)
            for n, c in zip(areas, sizes.widths, strict=True)
        ),
        Layer("resize and add", 0, 0, small + largest, largest),
        Layer("classify", largest * num_classes, width * num_classes, largest, classified),
        Layer("resize and argmax", 0, 0, classified, 0, image_bytes=image),
    )


def _branch(sizes: FeedFormerSizes, size: Size, stage: int, ratio: int) -> Iterator[Layer]:
    c, s, by = sizes.widths[stage], sizes.widths[0], sizes.query_pooling
    rows, columns = map_of(size, sizes.map_strides[stage])
    above, beside = map_of(size, sizes.map_strides[0])
    n, q = rows * columns * c, (rows // by) * (columns // by) * c
    source, keys = above * beside * s, (above // ratio) * (beside // ratio)
    m = keys * s
    yield Layer("normalise tokens", 0, 2 * c, n, n)
    if by > 1:
        yield Layer("pool queries", 0, 0, n, q)
        yield Layer("convolve queries", q * c, c * c, q, q)
        yield Layer("normalise queries", 0, 2 * c, q, q)
    yield Layer("queries", q * c, c * c, q, q)
    yield Layer("normalise source", 0, 2 * s, source, source)
    yield Layer("pool", 0, 0, source, m)
    yield Layer("convolve source", m * s, s * s, m, m)
    yield Layer("normalise keys", 0, 2 * s, m, m)
    yield Layer("keys", m * c, s * c, m, keys * c)
    yield Layer("values", m * c, s * c, m, keys * c)
    yield Layer("attention", 2 * q * keys, 0, q + 2 * keys * c, q)
    if by > 1:
        yield Layer("project", q * c, c * c, q, q)
        yield Layer("resize and add", 0, 0, q + n, n)
    else:
        yield Layer("project and add", n * c, c * c, 2 * n, n)
    yield from mlp_layers(c, sizes.decoder_hidden(stage), rows * columns)


def _area(size: Size, stride: int) -> int:
    rows, columns = map_of(size, stride)
    return rows * columns
