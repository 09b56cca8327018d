"""segmentation_models_pytorch's state dicts: whose they are, what is refused, how they are written.

Its models that are made here are B0's, whose heads are the usual ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edaformer.errors import CheckpointError, InputError
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.families.given import given
from edaformer.families.table import FAMILIES, load_checkpoint, owner, save_adapted
from tests.families.convolutional.smp_networks import save
from tests.families.smp import ENCODERS, smp, smp_model
from tests.families.test_adapted import RECORD, moved

State = dict[str, Tensor]
KINDS = ("Unet", "UPerNet", "DeepLabV3Plus")
OVER = [(kind, encoder) for kind in KINDS for encoder in ENCODERS][:-1]  # DeepLabV3+: MiT alone


@pytest.fixture(scope="module")
def states() -> dict[str, State]:
    return {kind: smp_model(kind=kind).state_dict() for kind in KINDS}


@pytest.mark.parametrize(("kind", "encoder"), OVER)
def test_an_adapted_file_has_its_own_names(kind: str, encoder: str, tmp_path: Path) -> None:
    state = smp_model(kind=kind, encoder=encoder).state_dict()
    wrapped = {f"module.{key}": value for key, value in state.items()}
    path, out = save(tmp_path / "x.pth", wrapped), tmp_path / "adapted.pth"
    assert owner(path) is FAMILIES["convolutional"]
    checkpoint = load_checkpoint(path)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    after = torch.load(out, weights_only=True)["state_dict"]
    assert list(after) == list(state)
    for key, value in state.items():
        assert torch.equal(after[key], value + 1 if value.is_floating_point() else value), key
    assert load_checkpoint(out).adapted == RECORD


def _without(key: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name != key}


def _with(key: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, key: value}


def _missing(sign: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if sign not in name}


CONV = "decoder.blocks.1.conv2.0.weight"
WRONG: list[tuple[str, Callable[[State], State], str]] = [
    ("Unet", _without(CONV), rf"1 missing \({CONV}\)"),
    ("Unet", _with(CONV, torch.full((128, 128, 3, 3), torch.nan)), "1 not finite"),
    ("Unet", _with(CONV, torch.zeros(128, 128, 1, 1)), r"\(128, 128, 1, 1\) instead of"),
    ("Unet", _without("segmentation_head.0.weight"), "expected segmentation_head.0.weight"),
    ("Unet", _missing("encoder."), "has an encoder that is no MiT and no PVTv2"),
    ("UPerNet", _without("decoder.feature_norms.0.bias"), "1 missing"),
    ("UPerNet", _without("decoder.fpn_conv_blocks.0.0.weight"), "1 missing"),
    ("UPerNet", _without("encoder.block2.0.attn.sr.weight"), "missing|unknown"),
]


@pytest.mark.parametrize(("kind", "change", "words"), WRONG)
def test_damaged(
    kind: str, change: Callable[[State], State], words: str, states: dict[str, State],
    tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(save(tmp_path / "x.pth", change(states[kind])))


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("Unet", {"decoder_attention_type": "scse"}, "decoder_attention_type 'scse': that is"),
        ("Unet", {"encoder_depth": 4, "decoder_channels": (64, 32, 16, 8)}, "encoder_depth below"),
        ("Unet", {"decoder_use_norm": False}, "a decoder_use_norm other than 'batchnorm'"),
        ("Unet", {"in_channels": 4}, "takes images of 4 channels"),
        ("DeepLabV3Plus", {"decoder_aspp_separable": False}, "decoder_aspp_separable false"),
        ("UPerNet", {"encoder_depth": 4}, "an encoder_depth below 5"),
        ("UPerNet", {"decoder_use_norm": "identity"}, "a decoder_use_norm other"),
    ],
)
def test_another_network_by_its_names(
    kind: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = smp_model(kind=kind, **options)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(save(tmp_path / "x.pth", model.state_dict()))


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ("tu-resnet18", "has a ResNet as its encoder: it has no attention"),
        ("tu-mobilenetv3_small_050", "an EfficientNet or a MobileNet as its encoder"),
        ("tu-convnext_atto", "a ConvNeXt or one of its kind as its encoder: no attention in it"),
        ("tu-convnextv2_atto", "a ConvNeXt or one of its kind as its encoder"),
        ("tu-swin_tiny_patch4_window7_224", "a Swin transformer as its encoder: its attention is"),
        ("tu-swinv2_tiny_window8_256", "a Swin transformer as its encoder"),
        ("tu-twins_svt_small", "a Twins as its encoder"),
        ("tu-hiera_tiny_224", "a DINOv2 or another plain ViT as its encoder"),
        ("tu-regnetx_002", r"an encoder that is no MiT and no PVTv2 \(encoder.model.stem"),
        ("tu-pvt_v2_b2_li", r"a linear PVTv2 \(Li\) as its encoder: it pools keys to a fixed 7x7"),
    ],
)
@pytest.mark.parametrize("kind", ["Unet", "Segformer"])
def test_another_encoder(kind: str, encoder: str, words: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        names = getattr(smp(), kind)(encoder, encoder_weights=None).state_dict()
    state = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in names.items()}
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(save(tmp_path / "x.pth", state))


def test_its_own_resnet(tmp_path: Path) -> None:
    """By names alone: torchvision makes it, which is not there."""
    state = smp_model(kind="Unet").state_dict()
    decoder = {name: value for name, value in state.items() if not name.startswith("encoder.")}
    names = ("conv1", "layer1.0.conv1", "layer4.2.conv2")
    encoder = {f"encoder.{name}.weight": torch.zeros(8, 8, 3, 3) for name in names}
    with pytest.raises(CheckpointError, match="has a ResNet as its encoder"):
        load_checkpoint(save(tmp_path / "x.pth", {**encoder, **decoder}))


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        ("MAnet", "mit_b0"), ("MAnet", "tu-pvt_v2_b0"), ("Linknet", "tu-pvt_v2_b0"),
        ("PAN", "mit_b0"), ("PSPNet", "mit_b0"), ("UnetPlusPlus", "tu-pvt_v2_b0"),
        ("DPT", "tu-pvt_v2_b0"), ("DeepLabV3", "mit_b0"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Encoder does not have prefix tokens")
def test_another_decoder(kind: str, encoder: str, tmp_path: Path) -> None:
    model = smp_model(kind=kind, encoder=encoder)
    words = f"is segmentation_models_pytorch's {kind}: its decoder is not built here; use a Unet"
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(save(tmp_path / "x.pth", model.state_dict()))
    model.save_pretrained(tmp_path / "folder")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "folder")


def test_upernet_of_0_4(tmp_path: Path) -> None:
    """Its names, over 0.6's encoder; what it computes is another network."""
    names = ("psp.blocks.0.1.0", "psp.out_conv.0", "fpn_stages.0.skip_conv.0", "fpn_bottleneck.0")
    state = smp_model(kind="Unet").state_dict()
    encoder = {name: value for name, value in state.items() if name.startswith("encoder.")}
    decoder = {f"decoder.{name}.weight": torch.zeros(8, 8, 1, 1) for name in names}
    with pytest.raises(CheckpointError, match=r"UPerNet of version 0\.4: another network than"):
        load_checkpoint(save(tmp_path / "x.pth", {**encoder, **decoder}))


def test_align_corners_is_not_asked(states: dict[str, State], tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", states["Unet"])
    with pytest.raises(InputError, match="Unet says how it resizes; leave it out"):
        load_checkpoint(path, given(align_corners="none"))


@pytest.mark.parametrize("kind", ["Unet", "Segformer"])
def test_sizes_that_it_does_not_take(kind: str, tmp_path: Path) -> None:
    """It upsamples to the image's size by whole factors."""
    checkpoint = load_checkpoint(save(tmp_path / "x.pth", smp_model(kind=kind).state_dict()))
    options = ExportOptions(checkpoint.places.base, (131, 160), align=None)
    with pytest.raises(InputError, match=r"takes multiples of 32 alone, got 131x160; leave --ali"):
        export_model(checkpoint, options, tmp_path / "x.onnx")
