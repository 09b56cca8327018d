"""A SegFormer-B0 trained on CamVid, held to the figures of transformers' own network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edaformer.engines.validate.validate import validate
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import load_checkpoint
from tests.camvid import cache, dataset, exported, pytorch_score

pytestmark = [pytest.mark.weights, pytest.mark.slow]
SETTINGS = [
    ("none", "8,4,2,1"), ("pad32", "8,4,2,1"), ("pad32", "16,8,2,1"), ("pad32", "16,8,4,1"),
    ("pad32", "16,8,4,2"), ("pad32", "32,16,4,2"),
]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(segformer_folder: Path) -> Checkpoint:
    return load_checkpoint(segformer_folder)


@pytest.fixture(scope="module")
def figures(segformer_folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    found = json.loads(segformer_folder.with_suffix(".json").read_text())
    listed = [(align, isr) for align in ("none", "pad32") for isr in found[align]]
    assert sorted(listed) == sorted(SETTINGS)
    return {align: found[align] for align in ("none", "pad32")}


@pytest.mark.parametrize(("align", "isr"), SETTINGS)
def test_figures_of_every_isr(
    align: str, isr: str, checkpoint: Checkpoint, figures: dict[str, dict[str, dict[str, float]]],
    camvid: Path,
) -> None:  # fmt: skip
    made = pytorch_score(checkpoint, isr, 32 if align == "pad32" else None, dataset(camvid))
    expected = figures[align][isr]
    assert (made.miou, made.aacc) == pytest.approx(
        (expected["miou"], expected["aacc"]), abs=0.02
    )  # points
    assert made.iou == pytest.approx(expected["iou"], abs=0.1)


@pytest.mark.parametrize("isr", ["base", "16,8,4,2"])
def test_fp16_costs_nothing(isr: str, checkpoint: Checkpoint, camvid: Path, shared: Path) -> None:
    artifact = exported(shared, checkpoint, isr).path
    result = validate(artifact, checkpoint, dataset(camvid), cache=cache())
    assert result.images == 101
    assert result.agreement.overall >= 0.9995
    assert abs(result.delta_precision) <= 0.02
    assert result.flips.ties == result.flips.flipped  # rounding alone
