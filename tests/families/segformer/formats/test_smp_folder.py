"""What segmentation_models_pytorch's save_pretrained writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edaformer.errors import CheckpointError
from edaformer.families.given import given, options_of
from edaformer.families.table import checkpoint_sha256, load_checkpoint
from tests.families.segformer.hugging import change_config
from tests.families.smp import smp_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smp") / "model"
    smp_model().save_pretrained(path)
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for file in ("config.json", "model.safetensors"):
        (path / file).write_bytes((made / file).read_bytes())
    return path


def test_a_folder_is_its_state_dict(folder: Path, tmp_path: Path) -> None:
    torch.save(smp_model().state_dict(), tmp_path / "x.pth")
    loaded, file = load_checkpoint(folder), load_checkpoint(tmp_path / "x.pth")
    assert loaded.variant == file.variant
    assert all(torch.equal(value, file.state[name]) for name, value in loaded.state.items())
    assert (loaded.variant.name, loaded.num_classes) == ("segformer", 5)
    assert loaded.format == "segmentation_models_pytorch's Segformer"
    assert dict(loaded.assumed)["align_corners"] == (
        "logits (segmentation_models_pytorch's Segformer has it so)"
    )
    assert loaded.sha256 == checkpoint_sha256(folder)
    half = load_checkpoint(folder, given(align_corners="none"))
    assert (half.variant.logits_stride, loaded.variant.logits_stride) == (4, 1)
    assert options_of(half) == ["--align-corners", "none"]


@pytest.mark.parametrize(
    ("encoder", "name", "title"),
    [("mit_b0", "segformer-b0", "SegFormer-B0"),
     ("tu-pvt_v2_b0", "segformer-pvt-v2-b0", "SegFormer-PVTv2-B0")],
)  # fmt: skip
def test_256_channels_are_b0(encoder: str, name: str, title: str, tmp_path: Path) -> None:
    model = smp_model(encoder=encoder, decoder_segmentation_channels=256, classes=2,
                      aux_params={"classes": 3})  # fmt: skip
    model.save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.variant.name, loaded.variant.title) == (name, title)
    assert loaded.coverage.left_over == ("classification_head.3.bias",
                                         "classification_head.3.weight")  # fmt: skip


def test_an_activation_is_left_out(folder: Path) -> None:
    change_config(folder, activation="sigmoid")
    assert "the activation 'sigmoid'" in load_checkpoint(folder).notes[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_model_class": "Unet"}, "has the argument 'decoder_segmentation_channels'"),
        ({"_model_class": "MAnet"}, "segmentation_models_pytorch's MAnet: its decoder is not"),
        ({"_model_class": "Net"}, "expected _model_class in .* got 'Net'; use a Unet"),
        ({"_model_class": ["x"]}, "expected _model_class in"),
        ({"in_channels": 4}, "expected in_channels 3 .* got 4"),
        ({"upsampling": 8}, "expected upsampling 4"),
        ({"encoder_depth": 4}, "expected encoder_depth 5"),
        ({"encoder_name": "resnet34"}, "expected the encoder mit_b0 to mit_b5 .* got 'resnet34'"),
        ({"encoder_name": None}, "expected the encoder mit_b0 to mit_b5"),
        ({"encoder_name": "mit_b1"}, "says encoder_name 'mit_b1', and the weights"),
        ({"encoder_name": "mit_b9"}, "expected the encoder .* got 'mit_b9'"),
        ({"encoder_name": "tu-pvt_v2_b0"}, "says encoder_name 'tu-pvt_v2_b0', and the weights"),
        ({"encoder_name": "tu-pvt_v2_b2_li"}, r"a linear PVTv2 \(Li\) as its encoder: it pools"),
        ({"num_heads": [1, 1, 1, 1]}, "has the argument 'num_heads', which is not known here"),
        ({"classes": 6}, "says classes 6, and the weights beside it have 5"),
        ({"decoder_segmentation_channels": 8}, "says decoder_segmentation_channels 8"),
        ({"activation": "clamp"}, "expected activation in .* got 'clamp'"),
        ({"activation": ["x"]}, "expected activation in"),
    ],
)
def test_refused_by_name(changes: dict[str, Any], words: str, folder: Path) -> None:
    change_config(folder, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_weights_of_another_kind(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"as model\.safetensors, found none; save the model"):
        load_checkpoint(folder)
    (folder / "config.json").write_text(json.dumps({"encoder_name": "mit_b0"}))
    with pytest.raises(CheckpointError, match="found none"):
        load_checkpoint(folder)
