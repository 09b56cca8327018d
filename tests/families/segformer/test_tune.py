"""The search and the cost model know a SegFormer as they know an EDAFormer."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edaformer.data import open_dataset
from edaformer.engines.tune.device.roofline import Ceilings, Roofline, memory_bytes, weights_bytes
from edaformer.engines.tune.search.prefixes import Prefixes
from edaformer.engines.tune.search.space import Space, every_setting
from edaformer.engines.tune.tune import TuneOptions, tune
from edaformer.families.segformer.network import SegFormer
from edaformer.families.segformer.sizes import SEGFORMERS, SegFormerSizes
from edaformer.families.table import count, layers, load_checkpoint
from tests.families.deployed import check_layers
from tests.families.segformer.hugging import save_folder
from tests.tiny import SEGFORMER, tiny_segformer

B0 = SEGFORMERS["segformer-b0"]
MMSEG = replace(SEGFORMER, head="convolutions", align_corners="all")
OTHER = replace(SEGFORMER, ratios=(4, 1, 1, 2), heads=(1, 1, 5, 2))


@pytest.mark.parametrize("sizes", [B0, SEGFORMER, OTHER, MMSEG])
@pytest.mark.parametrize("factor", [1, 2])
def test_layers_are_those_of_the_rewritten_network(sizes: SegFormerSizes, factor: int) -> None:
    size = (160, 256)
    isr = sizes.places.isr(tuple(factor * ratio for ratio in sizes.ratios))
    with torch.device("meta"):
        model = SegFormer(sizes, 7, isr).eval()
    check_layers(model, size)


def test_every_setting_of_four_places() -> None:
    settings = every_setting((384, 480), places=B0.places)
    assert len(settings) == len(set(settings)) == 3**4
    assert settings[0] == B0.places.base
    features = Space.of(settings, lambda _: 0.0).features()
    assert features.shape == (81, 4 * 2 + 6)


def test_the_model_orders_settings_as_their_layers_do() -> None:
    ceilings = Ceilings(macs_per_second=1e12, bytes_per_second=1e11, value_bytes=2)
    model = Roofline(B0, 11, (384, 480), ceilings)
    for isr in every_setting((384, 480), (1, 2), B0.places):
        assert model.seconds(isr) == pytest.approx(
            ceilings.seconds(layers(B0, 11, (384, 480), isr))
        )
    assert weights_bytes(B0, 11) == 2 * count(B0, 11, (64, 64)).params
    assert memory_bytes(B0, 11, (384, 480), B0.places.base) > weights_bytes(B0, 11)


@pytest.mark.parametrize("sizes", [SEGFORMER, MMSEG])
def test_logits_are_the_whole_model_s_to_the_bit(sizes: SegFormerSizes) -> None:
    pixels = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32)
    whole = tiny_segformer(sizes)
    shared = Prefixes(copy.deepcopy(whole), pixels)
    for isr in every_setting((64, 96), (1, 2), SEGFORMER.places):
        whole.set_isr(isr)
        with torch.inference_mode():
            expected = whole(torch.from_numpy(pixels)).numpy()[0]
        assert np.array_equal(shared.logits(isr), expected), isr


def test_a_folder_is_tuned(tmp_path: Path) -> None:
    scenes = open_dataset("scenes:3", (64, 96))
    labels = dict(enumerate(scenes.classes))
    checkpoint = load_checkpoint(save_folder(tmp_path / "model", id2label=labels))
    result = tune(checkpoint, scenes, TuneOptions((64, 96), trust_labels=True), tmp_path)
    assert result.model == f"SegFormer, {len(labels)} classes"
    assert [point.name for point in result.named] == ["base"]
    assert str(result.named[0].isr) == "8,4,2,1"
    places = {place.name for place in checkpoint.places.all}
    assert {one.place for one in result.sensitivity} == places
    again = tune(
        checkpoint, scenes, TuneOptions((64, 96), trust_labels=True), tmp_path, resume=True
    )
    assert (again.pick.isr, again.evaluations) == (result.pick.isr, result.evaluations)
    assert f"--isr {result.pick.isr} " in result.export_command
