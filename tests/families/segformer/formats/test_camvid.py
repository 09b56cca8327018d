"""The SegFormer-B0 trained on CamVid in other projects' files: the same weights, the same mIoU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edaformer.families.checkpoint import Checkpoint
from edaformer.families.segformer.names import Names
from edaformer.families.table import load_checkpoint
from tests.camvid import dataset, pytorch_score
from tests.families.segformer.formats.projects import nvlabs_state, save, smp_state

pytestmark = pytest.mark.weights
SETTINGS = ("8,4,2,1", "16,8,2,1", "16,8,4,1", "16,8,4,2", "32,16,4,2")


class Hugging:
    """What the writers ask of transformers' model, off a folder, by its current names."""

    def __init__(self, folder: Path) -> None:
        checkpoint = load_checkpoint(folder)
        names = Names(checkpoint.variant)  # type: ignore[arg-type]
        self.config = checkpoint.variant
        self._state = {names.current(key): value for key, value in checkpoint.state.items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self._state


@pytest.fixture(scope="module")
def rewritten(segformer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """NVlabs' file, segmentation_models_pytorch's file and folder."""
    folder = tmp_path_factory.mktemp("rewritten")
    nvlabs = nvlabs_state(Hugging(segformer_folder))
    smp = smp_state(nvlabs)
    (folder / "smp").mkdir()
    save_file(smp, folder / "smp/model.safetensors")
    config = {"_model_class": "Segformer", "encoder_name": "mit_b0", "classes": 11}
    (folder / "smp/config.json").write_text(json.dumps(config))
    return [save(folder / "a.pth", nvlabs), save(folder / "b.pth", smp), folder / "smp"]


def test_the_weights_are_those_of_the_folder(rewritten: list[Path], segformer_folder: Path) -> None:
    own = load_checkpoint(segformer_folder)
    assert load_file(segformer_folder / "model.safetensors")
    for path in rewritten:
        loaded = load_checkpoint(path)
        assert (loaded.variant.name, loaded.num_classes) == ("segformer-b0", 11)
        assert loaded.state.keys() == own.state.keys()
        assert all(torch.equal(value, own.state[name]) for name, value in loaded.state.items())


@pytest.mark.slow
@pytest.mark.parametrize("isr", SETTINGS)
def test_nvlabs_miou(isr: str, rewritten: list[Path], segformer_folder: Path, camvid: Path) -> None:
    """Computed with NVlabs' eps, which the file is trained without: no difference to be seen."""
    found = json.loads(segformer_folder.with_suffix(".json").read_text())["pad32"][isr]
    made = pytorch_score(load_checkpoint(rewritten[0]), isr, 32, dataset(camvid))
    assert made.miou == pytest.approx(found["miou"], abs=0.01)


def test_smp_s_logits_are_the_folder_s_corner_to_corner(
    rewritten: list[Path], segformer_folder: Path
) -> None:
    """What is other than transformers' network: eps, and how logits come to the image's size."""
    own = load_checkpoint(segformer_folder)
    sizes = load_checkpoint(rewritten[1]).variant
    other = replace(own, variant=sizes)
    image = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    plain: Checkpoint = replace(own, variant=replace(own.variant, eps=sizes.eps))  # type: ignore[type-var,attr-defined]
    with torch.inference_mode():
        large = torch.nn.functional.interpolate(
            plain.model()(image), scale_factor=4, mode="bilinear", align_corners=True
        )
        for path in rewritten[1:]:
            made = load_checkpoint(path).model()(image)
            assert torch.equal(made, other.model()(image))
            assert float((made - large).abs().max()) <= 1e-4
