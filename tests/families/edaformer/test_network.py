from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE, ISR
from edaformer.preprocess import normalise
from tests.recipe import recipe_checkpoint

CASES = [f"case{number:02d}" for number in range(10)]


@pytest.mark.parametrize("name", CASES)
def test_logits_of_the_published_implementation(name: str, reference: Path, tmp_path: Path) -> None:
    cases = json.loads((reference / "cases.json").read_text())["cases"]
    case = next(case for case in cases if case["name"] == name)
    path = recipe_checkpoint(reference, case["variant"], case["num_classes"], tmp_path / "w.pth")
    isr = ISR(tuple(case["encoder_ratios"]), tuple(case["decoder_ratios"]))
    model = load_checkpoint(path).model(isr)
    shape = (1, 3, case["height"], case["width"])
    image = np.random.RandomState(case["image_seed"]).standard_normal(shape).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(image)).numpy()
    assert list(logits.shape) == case["logits_shape"]
    expected = np.load(reference / "logits.npz")[name]
    assert np.abs(logits[0, :: case["class_stride"]] - expected).max() <= 1e-4


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "isr"), [("base", "base"), ("isr_16_8_4_1", "16,8,4,1"), ("isr_paper", "paper")]
)
def test_trained_checkpoint_on_the_first_image(
    name: str, isr: str, reference: Path, camvid: Path, camvid_checkpoint: Path
) -> None:
    first = min((camvid / "val").glob("*.png"))
    image = np.asarray(Image.open(first).convert("RGB"))
    model = load_checkpoint(camvid_checkpoint).model(ISR.parse(isr))
    with torch.inference_mode():
        logits = model(torch.from_numpy(normalise(image[None]))).numpy()
    expected = np.load(reference / "camvid_first_image.npz")[name]
    assert np.abs(logits[0] - expected).max() <= 1e-4


def test_isr_changes_ratios_and_no_weight() -> None:
    model = EDAFormer.from_variant("T", 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    isr = ISR.parse("16,8,4,2-2,4,8")
    model.set_isr(isr)
    assert model.isr == isr
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.set_isr(BASE)
    assert model.isr == BASE


def test_attention_blocks_per_variant() -> None:
    assert {name: len(v.attention_names) for name, v in VARIANTS.items()} == {"T": 22, "B": 37}


def test_odd_sizes_round_up() -> None:
    model = EDAFormer.from_variant("T", 3).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 45, 83)).shape == (2, 3, 6, 11)
