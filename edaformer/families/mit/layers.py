"""The deployed MiT layer by layer (families/layers.py), as the default rewrites leave it.

One head's output projection is part of its values': fewer multiply-adds than cost.py counts.

Letters: C channels, N queries, M keys, R the trained sequence reduction.
"""

from __future__ import annotations

from collections.abc import Iterator

from edaformer.families.cost import Size, map_of
from edaformer.families.layers import Layer, mlp_layers
from edaformer.families.mit.sizes import MiTSizes


def stage_layers(sizes: MiTSizes, size: Size, stage: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of one stage, pooled by ``ratio``."""
    rows, columns = map_of(size, sizes.map_strides[stage])
    block = [*_attention(sizes, stage, (rows, columns), ratio)]
    block += mlp_layers(sizes.widths[stage], sizes.hidden(stage), rows * columns)
    depth = sizes.depths[stage]
    return (*_embedding(sizes, size, stage), *(layer.repeated(depth) for layer in block))


def _attention(sizes: MiTSizes, stage: int, size: Size, ratio: int) -> Iterator[Layer]:
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


def _embedding(sizes: MiTSizes, size: Size, stage: int) -> Iterator[Layer]:
    """Patch embedding, and the two normalisations outside the blocks."""
    channels, before = sizes.widths[stage], sizes.channels_in(stage)
    rows, columns = map_of(size, sizes.map_strides[stage])
    above = map_of(size, sizes.map_strides[stage - 1]) if stage else size
    tokens, weights = rows * columns, sizes.patches[stage] ** 2 * before * channels
    read = above[0] * above[1] * before
    yield Layer("embed", tokens * weights, weights, read, tokens * channels)
    yield Layer("normalise map", 0, 2 * channels, tokens * channels, tokens * channels, times=2)
