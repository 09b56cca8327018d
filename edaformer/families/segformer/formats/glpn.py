"""GLPN: SegFormer's encoder under a decoder that estimates depth."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edaformer.errors import CheckpointError

# vinvino02/GLPDepth's decoder, and transformers' name of the model
GLPN = re.compile(r"(^|\.)(glpn\.|decoder\.bot_conv\.|decoder\.skip_conv1\.|last_layer_depth\.)")


def refuse_glpn(path: Path, keys: Collection[str]) -> None:
    """A depth estimator on the same encoder.

    Raises:
        CheckpointError: if it is one.
    """
    if any(GLPN.search(key) for key in keys):
        raise CheckpointError(
            f"{path} is a GLPN, which estimates depth: SegFormer's encoder with a decoder that has "
            "no classes; it is not supported, use a checkpoint trained for segmentation"
        )
