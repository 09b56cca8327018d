"""What a MiT costs, in multiply-adds and parameters (families/cost.py).

Letters: C channels, N queries, M keys, R the trained sequence reduction.
"""

from __future__ import annotations

from edaformer.families.cost import PartCost, Size, map_of, mlp_macs, mlp_params
from edaformer.families.mit.sizes import MiTSizes


def count_encoder(sizes: MiTSizes, size: Size, ratios: tuple[int, ...]) -> list[PartCost]:
    """Its four stages on one image of ``size`` (H, W), pooled by ``ratios``, which fit."""
    maps = [map_of(size, stride) for stride in sizes.map_strides]
    return [_stage(sizes, stage, maps[stage], ratios[stage]) for stage in range(4)]


def encoder_params(sizes: MiTSizes) -> int:
    """Trainable ones."""
    total = 0
    for stage, channels in enumerate(sizes.widths):
        trained, norm = sizes.ratios[stage], 2 * channels
        embed = channels * (sizes.channels_in(stage) * sizes.patches[stage] ** 2 + 1) + norm
        reduction = channels * (channels * trained**2 + 1) + norm if trained > 1 else 0
        attention = 4 * channels * (channels + 1) + reduction
        block = 2 * norm + attention + mlp_params(channels, sizes.hidden(stage))
        total += embed + sizes.depths[stage] * block + norm
    return total


def _stage(sizes: MiTSizes, stage: int, size: Size, ratio: int) -> PartCost:
    channels, trained = sizes.widths[stage], sizes.ratios[stage]
    queries = size[0] * size[1]
    reduced = (size[0] // trained) * (size[1] // trained)  # R x R patches before they are pooled
    keys = (size[0] // ratio) * (size[1] // ratio)
    reduction = reduced * (trained * channels) ** 2 if trained > 1 else 0
    attention = 2 * queries * keys * channels
    projections = 2 * (queries + keys) * channels**2  # query and output; key and value
    mlp = queries * mlp_macs(channels, sizes.hidden(stage))
    block = reduction + attention + projections + mlp
    embed = queries * sizes.patches[stage] ** 2 * sizes.channels_in(stage) * channels
    depth = sizes.depths[stage]
    return PartCost(f"stage {stage + 1}", embed + depth * block, depth * attention)
