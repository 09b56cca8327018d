"""Files that look like a network's and are something else, by what is in them."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some
from edaformer.families.formats.naming import Format

# MiT as NVlabs and mmsegmentation pretrained it on ImageNet: the names without ``backbone.``
ENCODER = re.compile(
    r"^(block[1-4]\.\d+\.attn\.(q|kv)\.|layers\.[0-3]\.1\.\d+\.attn\.attn\.in_proj_)"
)
_EMA = re.compile(r"(^|\.)ema_(backbone|decode_head|encoder|decoder|segmentation_head)_")


def refuse_averages(path: Path, keys: Collection[str]) -> None:
    """Mmcv's EMAHook keeps a second copy of all weights among them, and swaps the two as it saves.

    Raises:
        CheckpointError: if it is there.
    """
    copies = [key for key in keys if _EMA.search(key)]
    if copies:
        raise CheckpointError(
            f"{path} holds two sets of weights, the model's and {len(copies)} of mmcv's EMAHook "
            f"({some(copies)}); save the set that is meant alone, without the names that begin "
            "with 'ema_'"
        )


def refuse_encoder(path: Path, form: Format | None, keys: Collection[str]) -> None:
    """An encoder alone.

    Raises:
        CheckpointError: if it is one.
    """
    bare = form is None and any(ENCODER.search(key) for key in keys)
    if bare or (form is not None and not any(key.startswith(form.decoder) for key in keys)):
        raise CheckpointError(
            f"{path} is the encoder alone, as pretrained on ImageNet: it has no decoder and cannot "
            "segment; use a checkpoint trained for segmentation"
        )
