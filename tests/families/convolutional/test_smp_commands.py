"""All the way with segmentation_models_pytorch's own models, and adapted under its names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edaformer.data import open_dataset
from tests.cli.test_commands import Run, run
from tests.families.deployed import all_the_way
from tests.families.smp import smp_model

__all__ = ["run"]  # the fixture
CLASSES = open_dataset("scenes:1", (64, 96)).classes
ISR = "16,8,4,2"
MODELS: dict[str, dict[str, Any]] = {
    "Unet": {"encoder": "tu-pvt_v2_b0", "decoder_channels": (48, 32, 24, 16, 8)},
    "UPerNet": {"encoder": "mit_b0", "decoder_channels": 32},
    "DeepLabV3Plus": {"encoder": "mit_b0", "decoder_channels": 32},
    "Segformer": {"encoder": "tu-pvt_v2_b0"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_from_the_folder_to_labels(kind: str, run: Run, tmp_path: Path) -> None:
    path, names = tmp_path / "model", tmp_path / "names.txt"
    smp_model(kind=kind, classes=len(CLASSES), **MODELS[kind]).save_pretrained(path)
    names.write_text("\n".join(CLASSES))
    assert f"segmentation_models_pytorch's {kind}" in run("info", path, "--isr", ISR).out
    all_the_way(
        run, path, tmp_path, ISR, adapted=tmp_path / "adapted", named=("--names", names),
        adapting=("--steps", "4", "--rate", "0.00001"),
    )  # fmt: skip
