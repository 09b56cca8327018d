"""The published state dict's weights by recipe, so that reference logits can be made again."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch


def recipe_weight(key: str, shape: list[int]) -> torch.Tensor:
    """Weights as reference/README.md defines them, from the key alone."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    seed = zlib.crc32(key.encode()) % 2**32
    values = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    *_, parent, leaf = key.split(".")
    is_norm = "norm" in parent or parent == "bn"
    if leaf == "running_mean":
        values = 0.1 * values
    elif leaf == "running_var":
        values = 0.5 + np.abs(values)
    elif leaf == "weight" and is_norm:
        values = 1 + 0.1 * values
    elif leaf == "bias":
        values = 0.05 * values
    else:
        values = values / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def state_dict_shapes(reference: Path) -> dict[str, dict[str, list[int]]]:
    """Shapes of the published state dicts, by t150, t19, ..."""
    shapes: dict[str, dict[str, list[int]]] = json.loads(
        (reference / "state_dict_shapes.json").read_text()
    )
    return shapes


def recipe_checkpoint(reference: Path, variant: str, num_classes: int, path: Path) -> Path:
    """Write a published-format checkpoint with the recipe's weights."""
    shapes = state_dict_shapes(reference)[f"{variant.lower()}{num_classes}"]
    state = {key: recipe_weight(key, shape) for key, shape in shapes.items()}
    torch.save({"meta": {}, "state_dict": state}, path)
    return path
