"""A frame as the model's own processor makes it: transformers' pixels, by the folder's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from edaformer.families.table import load_checkpoint
from edaformer.labels.resize import resize_picture
from edaformer.preprocess import known_resize, normalise
from tests.families.segformer.hugging import save_folder

SIZE = (64, 96)
ODD = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.mark.parametrize(
    ("source", "levels"), [((360, 480), 0), ((128, 200), 0), ((33, 50), 0), (SIZE, 0),
                           ((128, 100), 1)],  # so upright that Pillow 13 begins with columns
)  # fmt: skip
@pytest.mark.parametrize("content", [{}, ODD, {"resample": 2}])
def test_pixels_are_the_processor_s(
    source: tuple[int, int], levels: int, content: dict[str, Any], tmp_path: Path
) -> None:
    content = content | {"size": {"height": SIZE[0], "width": SIZE[1]}}
    folder = save_folder(tmp_path / "x", content)
    frame = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
    theirs = SegformerImageProcessorPil.from_pretrained(folder)(frame, return_tensors="np")
    loaded = load_checkpoint(folder)
    assert loaded.input_size == SIZE
    resized = resize_picture(frame, SIZE, known_resize(loaded.resize, "x"))
    ours = normalise(resized[None], loaded.normalisation)
    apart = np.abs(ours - theirs["pixel_values"]).max(axis=(0, 2, 3))
    assert (apart * loaded.normalisation.std <= levels + 1e-3).all()
