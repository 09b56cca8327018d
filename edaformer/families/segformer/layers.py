"""The deployed SegFormer layer by layer (families/layers.py), as the default rewrites leave it.

A branch of the decoder is one 1x1 convolution before it is upsampled, or two where a ReLU stands
between them: fewer multiply-adds than cost.py counts.

Letters: N positions, C channels, D the decoder's width.
"""

from __future__ import annotations

from edaformer.families.cost import Size, maps_of
from edaformer.families.layers import Layer
from edaformer.families.mit.layers import stage_layers
from edaformer.families.segformer.sizes import SegFormerSizes


def place_layers(sizes: SegFormerSizes, size: Size, place: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of one stage, pooled by ``ratio``."""
    return stage_layers(sizes, size, place, ratio)


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
