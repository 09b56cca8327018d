"""Against logits of the published code, at base and with ISR (reference/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edaformer.families.network import Network
from edaformer.families.table import load_checkpoint
from tests.families.feedformer.published import published_file

WEIGHTS = {"b0_plain_150": 4, "b0_city_19": 2, "b2_plain_150": 2, "b2_city_19": 1}  # cases each


@pytest.mark.parametrize("weights", WEIGHTS)
def test_logits_of_the_published_implementation(
    weights: str, reference: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(published_file(reference, weights, tmp_path / "w.pth"))
    every = json.loads((reference / "feedformer_cases.json").read_text())["cases"]
    cases = [case for case in every if case["weights"] == weights]
    assert len(cases) == WEIGHTS[weights]
    recorded = np.load(reference / "feedformer_logits.npz")
    for case in cases:
        ratios = (*case["encoder_ratios"], *case["decoder_ratios"])
        logits = logits_of(checkpoint.model(checkpoint.places.isr(ratios)), case)
        assert list(logits.shape) == case["logits_shape"], case["name"]
        step = case["map_stride"]
        made = logits[0, :: case["class_stride"], ::step, ::step]
        assert np.abs(made - recorded[case["name"]]).max() <= 1e-4, case["name"]


def logits_of(model: Network, case: dict[str, Any]) -> NDArray[np.float32]:
    """On the case's image, normalised already."""
    shape = (1, 3, case["height"], case["width"])
    image = np.random.RandomState(case["image_seed"]).standard_normal(shape).astype(np.float32)
    with torch.inference_mode():
        made: NDArray[np.float32] = model(torch.from_numpy(image)).numpy()
    return made
