"""Encoders that stand under the same decoders and are none that is supported: which, and why."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some

_NO_ATTENTION = "it has no attention, so ISR has nothing to pool"
_NO_POOLING = "no attention in it pools its keys, so ISR has nothing to pool"
_WINDOWS = "its attention is over windows, without keys that are pooled"
_FIXED = "it pools keys to a fixed 7x7, whatever the image, so no ratio is there to raise"
_TOKENS = "its attention has as many keys as queries, and none is pooled"
# Of PVT's first version, whose other names are the second's
FIRST_PVT = re.compile(r"(^|\.)pos_embed[1-4]$")
# The first that is found in a name is it
_BACKBONES = (
    ("a PVT of the first version", FIRST_PVT.pattern,
     "its patches do not overlap and its positions are learnt for one size; it is not built yet"),
    ("a Swin transformer", r"relative_position_bias_table|\.cpb_mlp\.", _WINDOWS),
    ("a Twins", r"\.pos_block\.|\.pos_blocks\.", "it is not built yet"),
    ("a SegNeXt (MSCAN)", r"\.spatial_gating_unit\.", _NO_ATTENTION),
    ("a ConvNeXt or one of its kind",
     r"\.(blocks|stages\.\d)\.\d+\.gamma$|\.layer_scale_parameter$|\.pwconv[12]\.|\.mlp\.grn\.",
     _NO_POOLING),
    ("a DINOv2 or another plain ViT", r"(^|\.)(cls_token|pos_embed|register_tokens)$|\.ls1\.gamma$",
     _TOKENS),
    ("an EfficientNet or a MobileNet", r"\.(conv_dw|conv_pw|_depthwise_conv|_expand_conv)\.",
     _NO_ATTENTION),
    ("a ResNet", r"(^|\.)layer1\.0\.conv1\.", _NO_ATTENTION),
)  # fmt: skip


def linear(path: Path) -> CheckpointError:
    """For a PVTv2 whose keys are pooled before a reduction of kernel 1; only that kernel tells."""
    return _refusal(path, "a linear PVTv2 (Li)", _FIXED)


def refuse_backbone(path: Path, keys: Collection[str], decoder: tuple[str, ...]) -> None:
    """Say which encoder it is that is not supported.

    Args:
        path: for the message.
        keys: names of a file's weights.
        decoder: what the decoder's begin with.

    Raises:
        CheckpointError: always.
    """
    others = [key for key in keys if not key.startswith((*decoder, "auxiliary_head."))]
    for name, sign, why in _BACKBONES:
        if any(re.search(sign, key) for key in others):
            raise _refusal(path, name, why)
    raise CheckpointError(
        f"{path} has an encoder that is no MiT and no PVTv2 ({some(others)}); it is not supported, "
        "use one of these"
    )


def _refusal(path: Path, name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} has {name} as its encoder: {why}; it is not supported, use a MiT or a PVTv2"
    )
