"""What an image costs a FeedFormer, in multiply-adds and parameters (families/cost.py).

Letters: C channels of a deep map, S of c1, N queries, M keys.
"""

from __future__ import annotations

from edaformer.families.cost import Cost, PartCost, Size, map_of, mlp_macs, mlp_params
from edaformer.families.feedformer.sizes import BRANCHES, STAGES, FeedFormerSizes
from edaformer.families.mit.cost import count_encoder, encoder_params
from edaformer.isr import ISR


def count(sizes: FeedFormerSizes, num_classes: int, size: Size, isr: ISR) -> Cost:
    """One image of ``size`` (H, W), which the ISR fits."""
    parts = count_encoder(sizes, size, isr.encoder)
    parts += [_branch(sizes, size, place, ratio) for place, ratio in enumerate(isr.decoder)]
    rows, columns = map_of(size, sizes.map_strides[0])
    head = rows * columns * sizes.decoder_width * (sum(sizes.widths) + num_classes)
    parts.append(PartCost("fuse and classify", head, 0))
    return Cost(count_params(sizes, num_classes), tuple(parts))


def count_params(sizes: FeedFormerSizes, num_classes: int) -> int:
    """Trainable ones, without the published files' unused conv_seg."""
    width = sizes.decoder_width
    fuse = sum(sizes.widths) * width + 2 * width + (width + 1) * num_classes
    return encoder_params(sizes) + sum(_branch_params(sizes, at) for at in STAGES) + fuse


def _branch(sizes: FeedFormerSizes, size: Size, place: int, ratio: int) -> PartCost:
    stage = STAGES[place]
    channels, source = sizes.widths[stage], sizes.widths[0]
    rows, columns = map_of(size, sizes.map_strides[stage])
    above, beside = map_of(size, sizes.map_strides[0])
    by = sizes.query_pooling
    queries = (rows // by) * (columns // by)
    keys = (above // ratio) * (beside // ratio)
    attention = 2 * queries * keys * channels
    # query and output, and the pooled queries' convolution; key and value, and their convolution
    projections = queries * (2 + (by > 1)) * channels**2 + keys * source * (2 * channels + source)
    mlp = rows * columns * mlp_macs(channels, sizes.decoder_hidden(stage))
    return PartCost(f"decoder {BRANCHES[place]}", attention + projections + mlp, attention)


def _branch_params(sizes: FeedFormerSizes, stage: int) -> int:
    channels, source = sizes.widths[stage], sizes.widths[0]
    norms = 4 * channels + 2 * source
    projections = channels * (channels + 2 * source) + channels * (channels + 1)
    pooled = source * (source + 3) + (channels * (channels + 3) if sizes.head == "city" else 0)
    return norms + projections + pooled + mlp_params(channels, sizes.decoder_hidden(stage))
