"""FeedFormer's published files with the reference's weights, by recipe (tests/recipe.py)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.recipe import recipe_weight


def published_state(reference: Path, weights: str) -> dict[str, Tensor]:
    """``weights`` such as ``b0_plain_150``."""
    shapes = json.loads((reference / "feedformer_shapes.json").read_text())[weights]
    return {key: recipe_weight(key, shape) for key, shape in shapes.items()}


def published_file(reference: Path, weights: str, path: Path) -> Path:
    """As mmsegmentation 0.x saves it."""
    torch.save({"meta": {}, "state_dict": published_state(reference, weights)}, path)
    return path
