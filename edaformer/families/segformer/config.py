"""config.json of a SegFormer, read by the names that matter here.

Defaults are those of transformers' SegformerConfig, which saves what differs from them or
everything, depending on the version. Settings of how it is computed there
(attention, dtype, code of its own) have no meaning here; what changes the weights is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import CheckpointError
from edaformer.families.formats.labels import read_classes
from edaformer.families.formats.numbers import read_encoder, read_number
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.training import adapted_record
from edaformer.families.segformer.sizes import SegFormerSizes

if TYPE_CHECKING:
    from edaformer.families.adapted import Adapted

CONFIG = "config.json"
_DECODER_WIDTH = 256
_SUPPORTED = {
    "num_encoder_blocks": 4, "num_channels": 3, "hidden_act": "gelu", "reshape_last_stage": True,
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """What it says of the network."""

    sizes: SegFormerSizes
    num_classes: int
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()  # what is there and of no use, and why
    adapted: Adapted | None = None


def read_config(folder: Path) -> Config:
    """Read config.json.

    Raises:
        CheckpointError: if it is no SegFormer's, or one that is not supported.
        InputError: if its sizes are none that are supported.
    """
    path = folder / CONFIG
    content = read_object(path)
    kind = content.get("model_type")
    if kind != "segformer":
        raise CheckpointError(
            f"expected a SegFormer in {folder}, but its {CONFIG} says model_type "
            f"{kind!r:.60}; besides it UperNetForSemanticSegmentation over PVTv2 is supported"
        )
    if content.get("quantization_config"):
        raise CheckpointError(
            f"{path} has a quantization_config, so the weights are quantised; save the model as "
            "it was trained, in float32 or float16"
        )
    for name, wanted in _SUPPORTED.items():
        if (got := content.get(name, wanted)) != wanted:
            raise CheckpointError(
                f"expected {name} {wanted!r} in {path}, got {got!r:.60}; no other is supported"
            )
    notes: list[str] = []
    number, names = read_classes(path, content, notes)
    adapted = adapted_record(content, notes)
    return Config(_sizes(path, content), number, names, tuple(notes), adapted)


def _sizes(path: Path, content: dict[str, Any]) -> SegFormerSizes:
    width = content.get("decoder_hidden_size", _DECODER_WIDTH)
    decoder_width = read_number(path, "SegFormer", "decoder_hidden_size", width)
    widths, depths, heads, ratios, mlp_ratios, patches, strides = read_encoder(
        path, "SegFormer", content
    )
    return SegFormerSizes(
        widths, depths, decoder_width, heads, ratios, mlp_ratios, patches, strides
    )
