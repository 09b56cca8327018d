"""Hugging Face's SegFormer, small and random, and the folders it saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny import shaken

CLASSES = ("road", "sky", "tree", "car", "sign")
SMALL: dict[str, Any] = {
    "hidden_sizes": [16, 32, 80, 64], "num_attention_heads": [1, 2, 5, 2], "depths": [1, 2, 1, 1],
    "decoder_hidden_size": 24, "mlp_ratios": [2, 2, 2, 2],
}  # fmt: skip


def hugging_model(seed: int = 0, **config: Any) -> Any:
    """SegformerForSemanticSegmentation with seeded weights."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    labels = {"id2label": dict(enumerate(CLASSES))}
    model = SegformerForSemanticSegmentation(SegformerConfig(**{**SMALL, **labels, **config}))
    return shaken(model, seed)


def save_folder(path: Path, preprocessor: dict[str, Any] | None = None, **config: Any) -> Path:
    """A folder as users have it."""
    hugging_model(**config).save_pretrained(path)
    if preprocessor is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return path


def change_config(path: Path, **changes: Any) -> None:
    """Overwrite entries of a folder's config.json."""
    content = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(content | changes))
