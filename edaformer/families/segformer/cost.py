"""What an image costs a SegFormer, in multiply-adds and parameters (families/cost.py).

Letters: C channels, N queries, M keys, R the trained sequence reduction, D the decoder's width.
"""

from __future__ import annotations

from edaformer.families.cost import Cost, PartCost, maps_of, mlp_macs, mlp_params
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.isr import ISR


def count(sizes: SegFormerSizes, num_classes: int, size: tuple[int, int], isr: ISR) -> Cost:
    """One image of ``size`` (H, W), which the ISR fits."""
    maps = maps_of(isr.places, size)
    parts = [_stage(sizes, stage, maps[stage], isr.encoder[stage]) for stage in range(4)]
    tokens = [height * width for height, width in maps]
    width = sizes.decoder_width
    embed = sum(n * channels * width for n, channels in zip(tokens, sizes.widths, strict=True))
    head = embed + tokens[0] * width * (4 * width + num_classes)
    parts.append(PartCost("fuse and classify", head, 0))
    return Cost(count_params(sizes, num_classes), tuple(parts))


def _stage(sizes: SegFormerSizes, stage: int, size: tuple[int, int], ratio: int) -> PartCost:
    channels, trained = sizes.widths[stage], sizes.ratios[stage]
    queries = size[0] * size[1]
    reduced = (size[0] // trained) * (size[1] // trained)  # R x R patches before they are pooled
    keys = (size[0] // ratio) * (size[1] // ratio)
    reduction = reduced * (trained * channels) ** 2 if trained > 1 else 0
    attention = 2 * queries * keys * channels
    projections = 2 * (queries + keys) * channels**2  # query and output; key and value
    mlp = queries * mlp_macs(channels, sizes.hidden(stage))
    block = reduction + attention + projections + mlp
    embed = queries * sizes.patches[stage] ** 2 * _channels_in(sizes, stage) * channels
    depth = sizes.depths[stage]
    return PartCost(f"stage {stage + 1}", embed + depth * block, depth * attention)


def count_params(sizes: SegFormerSizes, num_classes: int) -> int:
    """Trainable ones."""
    width = sizes.decoder_width
    total = 4 * width**2 + 2 * width + (width + 1) * num_classes  # fuse, its norm, classify
    for stage, channels in enumerate(sizes.widths):
        trained, norm = sizes.ratios[stage], 2 * channels
        embed = channels * (_channels_in(sizes, stage) * sizes.patches[stage] ** 2 + 1) + norm
        reduction = channels * (channels * trained**2 + 1) + norm if trained > 1 else 0
        attention = 4 * channels * (channels + 1) + reduction
        block = 2 * norm + attention + mlp_params(channels, sizes.hidden(stage))
        branch = (channels + (2 if sizes.head == "convolutions" else 1)) * width  # norm, or bias
        total += embed + sizes.depths[stage] * block + norm + branch
    return total


def _channels_in(sizes: SegFormerSizes, stage: int) -> int:
    return sizes.widths[stage - 1] if stage else 3
