"""Semantic FPN as mmsegmentation computes it, and as segmentation_models_pytorch does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edaformer.errors import CheckpointError, InputError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.convolutional.fpn import FPN
from edaformer.families.convolutional.sizes import NETWORKS, ConvolutionalSizes
from edaformer.families.given import Given, given
from edaformer.families.mit.sizes import MLP_RATIOS
from edaformer.families.table import FAMILIES, count, load_checkpoint, owner, save_adapted
from tests.families.convolutional import test_cost
from tests.families.convolutional.fpn import mmseg_fpn, smp_fpn
from tests.families.convolutional.hugging import pool
from tests.families.convolutional.test_upernet import mmseg_state
from tests.families.segformer.formats.projects import mmseg_model
from tests.families.smp import pool_smp
from tests.families.test_adapted import RECORD, moved

SIZES = ConvolutionalSizes(
    (16, 32, 80, 64), (2, 1, 1, 1), FPN(32, 24), (1, 2, 5, 2), mlp_ratios=(4, 4, 2, 2)
)
HEADS_GIVEN = Given(heads=SIZES.heads)
TOLERANCE = 1e-4
FACTORS = [(1, 1, 1, 1), (2, 2, 1, 1), (1, 2, 3, 2)]
ENCODERS = {"mit_b0": MLP_RATIOS, "tu-pvt_v2_b0": (8, 8, 4, 4)}  # of smp, with their MLP ratios


def _save(path: Path, state: Mapping[str, Tensor], **meta: Any) -> Path:
    torch.save({"meta": meta, "state_dict": dict(state)}, path)
    return path


@pytest.fixture
def mmseg(tmp_path: Path) -> Path:
    return _save(tmp_path / "fpn.pth", mmseg_state(mmseg_fpn()))


def _difference(
    theirs: Any, checkpoint: Checkpoint, factors: tuple[int, ...], size: tuple[int, int]
) -> float:
    """Between logits; theirs are pooled already."""
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    bases = [place.base for place in checkpoint.places.all]
    isr = checkpoint.places.isr(tuple(f * b for f, b in zip(factors, bases, strict=True)))
    with torch.inference_mode():
        return float((checkpoint.model(isr)(pixels) - theirs(pixels)).abs().max())


@pytest.mark.parametrize("size", [(96, 160), (128, 224)])
@pytest.mark.parametrize("factors", FACTORS)
def test_logits_are_those_of_mmsegmentation(
    mmseg: Path, size: tuple[int, int], factors: tuple[int, ...]
) -> None:
    theirs = mmseg_fpn()
    pool(theirs, factors, size)
    assert _difference(theirs, load_checkpoint(mmseg, HEADS_GIVEN), factors, size) <= TOLERANCE


def test_maps_with_odd_sides_are_doubled_and_cut_down(mmseg: Path) -> None:
    """Of 25x35, 13x18, 7x9 and 4x5 positions."""
    checkpoint, size = load_checkpoint(mmseg, HEADS_GIVEN), (100, 140)
    assert _difference(mmseg_fpn(), checkpoint, (1, 1, 1, 1), size) <= TOLERANCE
    test_cost.test_the_cost_is_what_pytorch_counts(SIZES, 1, size)


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_logits_are_those_of_smp(encoder: str, factors: tuple[int, ...], tmp_path: Path) -> None:
    theirs = smp_fpn(encoder)
    checkpoint = load_checkpoint(_save(tmp_path / "x.pth", theirs.state_dict()))
    pool_smp(theirs, factors, (96, 160))
    assert _difference(theirs, checkpoint, factors, (96, 160)) <= TOLERANCE


@pytest.mark.parametrize("factor", [1, 2])
def test_the_cost_of_smp_s_is_what_pytorch_counts(factor: int) -> None:
    sizes = replace(NETWORKS["fpn-mit-b0"], decoder=FPN(smp=True), upsampling=4)
    test_cost.test_the_cost_is_what_pytorch_counts(sizes, factor, (288, 224))
    test_cost.test_layers_are_those_of_the_rewritten_network(sizes, factor)


def test_a_file_of_mmsegmentation_s_is_told_by_its_names(mmseg: Path) -> None:
    assert owner(mmseg) is FAMILIES["convolutional"]
    made = load_checkpoint(mmseg, HEADS_GIVEN)
    assert (made.variant, made.format) == (SIZES, "mmsegmentation's FPN")
    assert (made.variant.name, made.variant.title) == ("fpn", "FPN")
    assert made.coverage.left_over == ()
    with pytest.raises(InputError, match=r"how many heads attention has .* such as --heads"):
        load_checkpoint(mmseg)
    with pytest.raises(InputError, match="says how it resizes; leave it out"):
        load_checkpoint(mmseg, given(heads="1,2,5,2", align_corners="all"))


@pytest.mark.parametrize(("encoder", "mlp_ratios"), ENCODERS.items())
def test_a_file_of_smp_is_told_by_its_names(
    encoder: str, mlp_ratios: tuple[int, int, int, int], tmp_path: Path
) -> None:
    theirs = smp_fpn(encoder, aux_params={"classes": 3})
    path = _save(tmp_path / "x.pth", theirs.state_dict())
    assert owner(path) is FAMILIES["convolutional"]
    made = load_checkpoint(path)
    assert made.variant == replace(
        NETWORKS["fpn-pvt-v2-b0"], decoder=FPN(48, 64, smp=True), mlp_ratios=mlp_ratios,
        upsampling=4,
    )  # fmt: skip
    assert made.variant.logits_stride == 1
    assert made.format == "segmentation_models_pytorch's FPN"
    assert all(name.startswith("classification_head.") for name in made.coverage.left_over)


def test_mmsegmentation_trains_it_over_its_mit_as_well(tmp_path: Path) -> None:
    state = {name: value for name, value in mmseg_model().state_dict().items()
             if name.startswith("backbone.")}  # fmt: skip
    head = mmseg_fpn().state_dict()
    state |= {name: value for name, value in head.items() if not name.startswith("backbone.")}
    for stage, width in enumerate((16, 32, 80, 64)):
        name = f"neck.lateral_convs.{stage}.conv.weight"
        state[name] = torch.ones(32, width, 1, 1)
    made = load_checkpoint(_save(tmp_path / "x.pth", state), Given(heads=(1, 2, 5, 4)))
    assert made.variant == replace(
        SIZES, depths=(1, 2, 1, 1), heads=(1, 2, 5, 4), mlp_ratios=MLP_RATIOS, eps=(1e-6, 1e-6)
    )


def test_concatenated_branches_are_refused(tmp_path: Path) -> None:
    theirs = smp_fpn(decoder_merge_policy="cat")
    path = _save(tmp_path / "x.pth", theirs.state_dict())
    with pytest.raises(CheckpointError, match=r"takes 256 channels out of maps of 64.* 'cat'"):
        load_checkpoint(path)


def test_channels_have_groups() -> None:
    with pytest.raises(InputError, match="expected channels that GroupNorm's 32 groups divide"):
        FPN(256, 100, smp=True)


def test_a_configuration_that_aligns_corners_is_refused(tmp_path: Path) -> None:
    told = "model = dict(decode_head=dict(type='FPNHead', align_corners=True))"
    path = _save(tmp_path / "x.pth", mmseg_state(mmseg_fpn()), config=told)
    with pytest.raises(CheckpointError, match="trained with align_corners=True"):
        load_checkpoint(path, HEADS_GIVEN)


WRONG: list[tuple[str, Tensor | None, str]] = [
    ("neck.fpn_convs.2.conv.weight", None, "missing"),
    ("decode_head.scale_heads.3.4.bn.running_var", None, "missing"),
    ("decode_head.scale_heads.0.0.conv.weight", None, "no complete checkpoint"),
    ("neck.fpn_convs.4.conv.weight", torch.ones(32, 32, 3, 3), "unknown"),
    ("neck.lateral_convs.0.conv.weight", torch.ones(32, 8, 1, 1), "wrongly shaped"),
    ("decode_head.conv_seg.bias", torch.full((5,), torch.nan), "not finite"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_damaged_file_is_refused(
    name: str, value: Tensor | None, words: str, tmp_path: Path
) -> None:
    state = mmseg_state(mmseg_fpn())
    state.pop(name, None)
    path = _save(tmp_path / "x.pth", state if value is None else {**state, name: value})
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(path, HEADS_GIVEN)


OTHERS = {
    "a ResNet": "backbone.layer1.0.conv1.weight",
    "a Swin transformer": "backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table",
}


@pytest.mark.parametrize(("name", "key"), OTHERS.items())
def test_other_encoders_are_refused_by_name(name: str, key: str, tmp_path: Path) -> None:
    state = mmseg_fpn().state_dict()
    decoder = {n: v for n, v in state.items() if n.startswith(("neck.", "decode_head."))}
    path = _save(tmp_path / "x.pth", {**decoder, key: torch.zeros(3)})
    with pytest.raises(CheckpointError, match=f"has {name}"):
        load_checkpoint(path)


def test_the_first_version_of_pvt_is_refused_by_name(tmp_path: Path) -> None:
    """Its authors publish it under the same decoder, with the names of the second."""
    state = mmseg_state(mmseg_fpn()) | {"backbone.pos_embed1": torch.zeros(1, 4, 16)}
    with pytest.raises(CheckpointError, match="has a PVT of the first version as its encoder"):
        load_checkpoint(_save(tmp_path / "x.pth", state), HEADS_GIVEN)


@pytest.mark.parametrize("encoder", [None, *ENCODERS])
def test_an_adapted_file_is_theirs(encoder: str | None, tmp_path: Path) -> None:
    state = mmseg_state(mmseg_fpn()) if encoder is None else smp_fpn(encoder).state_dict()
    path, out = _save(tmp_path / "x.pth", state), tmp_path / "adapted.pth"
    checkpoint = load_checkpoint(path, Given() if encoder else HEADS_GIVEN)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    after = torch.load(out, weights_only=True)["state_dict"]
    assert list(after) == list(state)
    for name, value in state.items():
        kept = not value.is_floating_point()
        assert torch.equal(after[name], value if kept else value + 1), name


# PVTv2 (Wang et al., Computational Visual Media 2022), table of Semantic FPN on ADE20K: parameters
# in millions; GFLOPs at 512x512 as mmcv counts them, normalisation and resizing included
PUBLISHED = {"b0": (7.6, 25.0), "b1": (17.8, 34.2), "b2": (29.1, 45.8), "b3": (49.0, 62.4),
             "b4": (66.3, 81.3)}  # fmt: skip


@pytest.mark.parametrize(("name", "said"), PUBLISHED.items())
def test_the_published_sizes(name: str, said: tuple[float, float]) -> None:
    made = count(NETWORKS[f"fpn-pvt-v2-{name}"], 150, (512, 512))
    assert made.params / 1e6 == pytest.approx(said[0], abs=0.06)
    assert 0 <= said[1] - made.gmacs < 0.25
