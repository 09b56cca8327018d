"""Sizes as a configuration of transformers' has them: a list of four each, or a number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError
from edaformer.families.mit.sizes import Four

# of the encoder; an entry may be left out that is as here, as in both PvtV2Config and
# SegformerConfig, B0's
USUAL: dict[str, list[int]] = {
    "hidden_sizes": [32, 64, 160, 256], "depths": [2, 2, 2, 2],
    "num_attention_heads": [1, 2, 5, 8], "sr_ratios": [8, 4, 2, 1],
    "mlp_ratios": [4, 4, 4, 4], "patch_sizes": [7, 3, 3, 3], "strides": [4, 2, 2, 2],
}  # fmt: skip


def read_encoder(
    path: Path, model: str, content: Mapping[str, Any], usual: Mapping[str, list[int]] = USUAL
) -> tuple[Four, ...]:
    """Widths, depths, heads, ratios, MLP ratios, patches and strides of the four stages.

    Args:
        path: of the configuration, for messages.
        model: what it should be of.
        content: the encoder's part of it.
        usual: each of them where it is left out.

    Raises:
        CheckpointError: if they are no four whole numbers each.
    """
    made = []
    for name, default in usual.items():
        values = content.get(name, default)
        if not isinstance(values, list):
            raise _wrong(path, model, name, values)
        numbers = tuple(read_number(path, model, name, value) for value in values)
        if len(numbers) != 4:
            raise CheckpointError(
                f"expected 4 {name} in {path}, got {len(numbers)}; save the model again"
            )
        made.append(numbers)
    return tuple(made)


def read_number(path: Path, model: str, name: str, value: object) -> int:
    """A whole number; a kernel may be written as a pair.

    Raises:
        CheckpointError: for anything else.
    """
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if type(value) is not int:
        raise _wrong(path, model, name, value)
    return value


def _wrong(path: Path, model: str, name: str, found: object) -> CheckpointError:
    return CheckpointError(
        f"{path} is no configuration of a {model} ({name} is {found!r:.60}); save the model again"
    )
