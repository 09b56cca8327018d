"""FeedFormer's published files: with the reference's weights, or with those of a small network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from edaformer.families.feedformer.network import FeedFormer
from edaformer.families.feedformer.sizes import FeedFormerSizes
from tests.recipe import recipe_weight
from tests.tiny import FEEDFORMER, tiny_feedformer

_NAMES = (
    (r"encoder\.stage(\d)\.embed\.", r"backbone.patch_embed\1."),
    (r"encoder\.stage(\d)\.norm\.", r"backbone.norm\1."),
    (r"encoder\.stage(\d)\.blocks\.", r"backbone.block\1."),
    (r"decoder\.(c\d)\.blocks\.0\.", r"decode_head.attn_\1_c1."),
    (r"(attn_c\d_c1)\.norm2", r"\1.norm3"),
    (r"source_norm", "norm2"),
    (r"attention\.reduction\.conv", "attn.sr"),
    (r"attention\.reduction\.norm", "attn.norm"),
    (r"attention\.source\.conv", "attn.sr{source}"),
    (r"attention\.source\.norm", "attn.norm{source}"),
    (r"attention\.queries\.conv", "attn.sr1"),
    (r"attention\.queries\.norm", "attn.norm1"),
    (r"attention", "attn"),
    (r"mlp\.dwconv", "mlp.dwconv.dwconv"),
    (r"decoder\.fuse\.conv", "decode_head.linear_fuse.conv"),
    (r"decoder\.fuse\.norm", "decode_head.linear_fuse.bn"),
    (r"decoder\.classify", "decode_head.linear_pred"),
)


def published_state(reference: Path, weights: str) -> dict[str, Tensor]:
    """``weights`` such as ``b0_plain_150``."""
    shapes = json.loads((reference / "feedformer_shapes.json").read_text())[weights]
    return {key: recipe_weight(key, shape) for key, shape in shapes.items()}


def published_file(reference: Path, weights: str, path: Path) -> Path:
    """As mmsegmentation 0.x saves it."""
    return save(path, published_state(reference, weights))


def tiny_state(sizes: FeedFormerSizes = FEEDFORMER) -> dict[str, Tensor]:
    """``tiny_feedformer``'s weights, under the published names."""
    return published_names(tiny_feedformer(sizes))


def published_names(model: FeedFormer) -> dict[str, Tensor]:
    """A network's weights, with the unused ones that every file of mmsegmentation's has."""
    ours, classes = model.state_dict(), model.num_classes
    source = "2" if any("queries" in name for name in ours) else ""
    made: dict[str, Tensor] = {}
    for name, value in ours.items():
        theirs = name
        for pattern, other in _NAMES:
            theirs = re.sub(pattern, other.replace("{source}", source), theirs)
        if match := re.fullmatch(r"(.*attn)\.k\.(\w+)", theirs):
            values = ours[re.sub(r"\.k\.(\w+)$", r".v.\1", name)]
            made[f"{match[1]}.kv.{match[2]}"] = torch.cat([value, values])
        elif not re.fullmatch(r".*attn\.v\.\w+", theirs):
            made[theirs] = value
    for leaf, shape in (("weight", (classes, 8, 1, 1)), ("bias", (classes,))):
        made[f"decode_head.conv_seg.{leaf}"] = torch.zeros(shape)
    return made


def save(
    path: Path, state: dict[str, Tensor], model: str = "", classes: Sequence[str] = ()
) -> Path:
    """As mmsegmentation 0.x saves it; ``model`` of the configuration's text, if there is one."""
    meta = ({"config": model} if model else {}) | ({"CLASSES": tuple(classes)} if classes else {})
    torch.save({"meta": meta, "state_dict": state}, path)
    return path
