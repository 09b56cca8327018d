"""transformers' UPerNet over its PVTv2, small, and ISR by pooling inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tests.families.segformer.pooled import PooledKeys
from tests.tiny import shaken

WIDTHS, DEPTHS, HEADS, MLP_RATIOS = [16, 32, 80, 64], [2, 1, 1, 1], [1, 2, 5, 2], [4, 4, 2, 2]
SMALL = {
    "hidden_sizes": WIDTHS, "depths": DEPTHS, "num_attention_heads": HEADS,
    "mlp_ratios": MLP_RATIOS,
}  # fmt: skip


CLASSES = tuple("abcde")


def upernet(
    backbone: dict[str, Any] | None = None, classes: Sequence[str] = CLASSES, **changes: Any
) -> Any:
    """With seeded weights; ``backbone`` changes PvtV2Config."""
    from transformers import PvtV2Config, UperNetConfig, UperNetForSemanticSegmentation

    encoder = {**SMALL, "out_features": [f"stage{n}" for n in (1, 2, 3, 4)], **(backbone or {})}
    labels = {"id2label": dict(enumerate(classes))}
    options = {"hidden_size": 24, "auxiliary_in_channels": 80, **labels, **changes}
    config = UperNetConfig(backbone_config=PvtV2Config(**encoder), **options)
    return shaken(UperNetForSemanticSegmentation(config))


def logits(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Before they are upsampled to the image's size."""
    with torch.inference_mode():
        made: torch.Tensor = model.decode_head(model.backbone(pixels).feature_maps)
    return made


def pool(model: Any, factors: tuple[int, ...], size: tuple[int, int]) -> None:
    """ISR on its own modules, for images of one ``size``."""
    for stage, (layer, factor) in enumerate(
        zip(model.backbone.encoder.layers, factors, strict=True)
    ):
        for block in layer.blocks:
            attention = block.attention
            stride = (4 << stage) * attention.spatial_reduction_ratio
            reduced = (size[0] // stride, size[1] // stride)
            attention.key = PooledKeys(attention.key, reduced, factor)
            attention.value = PooledKeys(attention.value, reduced, factor)
