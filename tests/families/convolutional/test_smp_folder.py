"""What save_pretrained writes of a Unet, a UPerNet and a DeepLabV3Plus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edaformer.errors import CheckpointError
from edaformer.families.adapted_weights import check_output
from edaformer.families.table import (
    FAMILIES,
    checkpoint_sha256,
    load_checkpoint,
    owner,
    save_adapted,
)
from tests.families.convolutional.smp_networks import save
from tests.families.segformer.hugging import change_config
from tests.families.smp import smp, smp_model
from tests.families.test_adapted import RECORD, moved

MODELS: dict[str, dict[str, Any]] = {
    "Unet": {"encoder": "tu-pvt_v2_b0", "decoder_channels": (32, 24, 16, 16, 8)},
    "UPerNet": {"encoder": "mit_b0", "decoder_channels": 24},
    "FPN": {
        "encoder": "mit_b0",
        "decoder_pyramid_channels": 24,
        "decoder_segmentation_channels": 32,
    },
    "DeepLabV3Plus": {"encoder": "mit_b0", "decoder_channels": 24},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("smp")
    for kind, options in MODELS.items():
        smp_model(kind=kind, **options).save_pretrained(at / kind)
    return {kind: at / kind for kind in MODELS}


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def _copy(made: dict[str, Path], kind: str, to: Path) -> Path:
    to.mkdir()
    for file in ("config.json", "model.safetensors"):
        (to / file).write_bytes((made[kind] / file).read_bytes())
    return to


def test_a_folder_is_its_state_dict(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    model = smp_model(kind=kind, **MODELS[kind])
    file = load_checkpoint(save(tmp_path / "x.pth", model.state_dict()))
    loaded = load_checkpoint(made[kind])
    assert owner(made[kind]) is FAMILIES["convolutional"]
    assert (loaded.variant, loaded.format) == (file.variant, file.format)
    assert all(torch.equal(value, file.state[name]) for name, value in loaded.state.items())
    assert loaded.sha256 == checkpoint_sha256(made[kind])


def test_an_adapted_folder_is_one_that_smp_loads(
    kind: str, made: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint, out = load_checkpoint(made[kind]), tmp_path / "y"
    check_output(checkpoint, out)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    loaded = load_checkpoint(out)
    assert (loaded.adapted, loaded.variant) == (RECORD, checkpoint.variant)
    theirs = smp().from_pretrained(out).state_dict()
    before = smp_model(kind=kind, **MODELS[kind]).state_dict()
    assert theirs.keys() == before.keys()
    assert all(torch.equal(theirs[key], value + 1 if value.is_floating_point() else value)
               for key, value in before.items())  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"decoder_use_norm": True}, {"decoder_use_norm": {"type": "batchnorm"}},
     {"decoder_use_batchnorm": True}, {"activation": "softmax"}, {"drop_path_rate": 0.2},
     {"_mine": 1}],
)  # fmt: skip
def test_taken(changes: dict[str, Any], made: dict[str, Path], tmp_path: Path) -> None:
    folder = _copy(made, "Unet", tmp_path / "model")
    change_config(folder, **changes)
    assert load_checkpoint(folder).variant.title == "Unet"


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("Unet", {"decoder_attention_type": "scse"}, "expected decoder_attention_type None in"),
        ("Unet", {"decoder_interpolation": "bilinear"}, "expected decoder_interpolation 'nearest'"),
        ("Unet", {"decoder_use_norm": "layernorm"}, "expected decoder_use_norm 'batchnorm'"),
        ("Unet", {"decoder_use_norm": {"type": "batchnorm", "eps": 0.1}}, "expected decoder_use_n"),
        ("Unet", {"decoder_use_batchnorm": "inplace"}, "expected decoder_use_batchnorm True"),
        ("Unet", {"decoder_channels": [32, 24, 16, 8, 8]}, "says decoder_channels .* and the weig"),
        ("Unet", {"encoder_name": "tu-pvt_v2_b1"}, "says encoder_name 'tu-pvt_v2_b1', and the"),
        ("Unet", {"encoder_name": "mit_b0"}, "says encoder_name 'mit_b0', and the weights"),
        ("Unet", {"encoder_name": "tu-pvt_v2_b2_li"}, r"a linear PVTv2 \(Li\)"),
        ("Unet", {"encoder_name": "resnet34"}, "expected the encoder mit_b0 to mit_b5 or tu-pvt"),
        ("Unet", {"encoder_name": ["x"]}, "expected the encoder"),
        ("Unet", {"encoder_depth": 4}, "expected encoder_depth 5"),
        ("Unet", {"in_channels": 4}, "expected in_channels 3"),
        ("Unet", {"classes": 6}, "says classes 6, and the weights beside it have 5"),
        ("Unet", {"activation": "clamp"}, "expected activation in"),
        ("Unet", {"sr_ratios": [4, 2, 1, 1]}, "has the argument 'sr_ratios', which is not known"),
        ("Unet", {"_model_class": "UPerNet"}, "expected decoder_attention_type|has the argument"),
        ("UPerNet", {"upsampling": 1}, "expected upsampling 4"),
        ("UPerNet", {"decoder_channels": 32}, "says decoder_channels 32, and the weights"),
        ("UPerNet", {"decoder_use_norm": False}, "expected decoder_use_norm 'batchnorm'"),
        ("UPerNet", {"decoder_pyramid_channels": 256}, "has the argument 'decoder_pyramid_channe"),
        ("UPerNet", {"_model_class": "Unet"}, "has the argument 'upsampling'"),
        ("DeepLabV3Plus", {"encoder_output_stride": 8}, "expected encoder_output_stride 16"),
        ("DeepLabV3Plus", {"decoder_atrous_rates": [6, 12, 18]}, "expected decoder_atrous_rates"),
        ("DeepLabV3Plus", {"decoder_aspp_separable": False}, "expected decoder_aspp_separable"),
    ],
)
def test_refused_by_name(
    kind: str, changes: dict[str, Any], words: str, made: dict[str, Path], tmp_path: Path
) -> None:
    folder = _copy(made, kind, tmp_path / "model")
    change_config(folder, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_another_encoder_is_named_by_its_weights(tmp_path: Path) -> None:
    smp_model(kind="Unet", encoder="tu-resnet18").save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="has a ResNet as its encoder: it has no attention"):
        load_checkpoint(tmp_path / "model")


def test_without_weights(made: dict[str, Path], tmp_path: Path) -> None:
    folder = _copy(made, "Unet", tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"as model\.safetensors, found none; save the model"):
        load_checkpoint(folder)
