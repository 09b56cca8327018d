"""Against logits of the published code, at base and with ISR (reference/README.md)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edaformer.families.table import load_checkpoint
from tests.families.feedformer.published import published_file

CASES = [f"case{number:02d}" for number in range(9)]


@pytest.mark.parametrize("name", CASES)
def test_logits_of_the_published_implementation(name: str, reference: Path, tmp_path: Path) -> None:
    cases = json.loads((reference / "feedformer_cases.json").read_text())["cases"]
    case = next(case for case in cases if case["name"] == name)
    checkpoint = load_checkpoint(published_file(reference, case["weights"], tmp_path / "w.pth"))
    ratios = (*case["encoder_ratios"], *case["decoder_ratios"])
    model = checkpoint.model(checkpoint.places.isr(ratios))
    shape = (1, 3, case["height"], case["width"])
    image = np.random.RandomState(case["image_seed"]).standard_normal(shape).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(image)).numpy()
    assert list(logits.shape) == case["logits_shape"]
    every = case["map_stride"]
    expected = np.load(reference / "feedformer_logits.npz")[name]
    made = logits[0, :: case["class_stride"], ::every, ::every]
    assert np.abs(made - expected).max() <= 1e-4
