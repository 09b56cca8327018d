"""Its models that are known and not supported: which, and why."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edaformer.errors import CheckpointError
from edaformer.families.formats.smp.names import PROJECT

USE = "use a Unet, a UPerNet, a DeepLabV3Plus, an FPN or a Segformer"
_NOT_BUILT = "its decoder is not built here"
# by a name that no other has, and why; a model's class is called so, too
_OTHERS = {
    "MAnet": (r"decoder\.(center\.top_conv|blocks\.\d\.(hl_conv|SE_ll))\.", _NOT_BUILT),
    "Linknet": (r"decoder\.blocks\.\d\.block\.\d\.", _NOT_BUILT),
    "PAN": (r"decoder\.(fpa|gau\d)\.", _NOT_BUILT),
    "PSPNet": (r"decoder\.psp\.blocks\.\d\.pool\.", _NOT_BUILT),
    "UnetPlusPlus": (r"decoder\.blocks\.x_\d_\d\.", _NOT_BUILT),
    "DPT": (r"decoder\.(projection|reassemble)_blocks\.", _NOT_BUILT),
    "DeepLabV3": (r"decoder\.aspp\.convs\.", _NOT_BUILT),
    "UPerNet of version 0.4": (
        r"decoder\.fpn_stages\.\d\.skip_conv\.",
        "another network than that of 0.5 and later, which has a map of half the image's size too",
    ),
}
_SIGNS = {name: re.compile(rf"(^|\.){sign}") for name, (sign, _) in _OTHERS.items()}


def refused_decoder(keys: Collection[str]) -> str | None:
    """Which of these models has such names of weights, if one has."""
    return next((n for n, sign in _SIGNS.items() if any(map(sign.search, keys))), None)


def refuse_decoder(path: Path, keys: Collection[str]) -> None:
    """One of these models, by its weights.

    Raises:
        CheckpointError: if it is one.
    """
    if name := refused_decoder(keys):
        refuse_model(path, name)


def refuse_model(path: Path, name: str) -> None:
    """One of these models, by the name of its class.

    Raises:
        CheckpointError: if it is one.
    """
    if name in _OTHERS:
        raise CheckpointError(f"{path} is {PROJECT}'s {name}: {_OTHERS[name][1]}; {USE}")
