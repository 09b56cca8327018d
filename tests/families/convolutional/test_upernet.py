"""UPerNet as transformers computes it and as mmsegmentation names it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from edaformer.errors import CheckpointError, InputError
from edaformer.families.adapted_weights import check_output
from edaformer.families.convolutional.sizes import NETWORKS, ConvolutionalSizes
from edaformer.families.convolutional.upernet import UPerNet
from edaformer.families.convolutional.upernet_network import pool as pooled
from edaformer.families.given import Given, given
from edaformer.families.table import (
    FAMILIES,
    checkpoint_sha256,
    load_checkpoint,
    owner,
    save_adapted,
)
from tests.families.convolutional.hugging import CLASSES, logits, pool, upernet
from tests.families.test_adapted import RECORD, moved

SIZES = ConvolutionalSizes(
    (16, 32, 80, 64), (2, 1, 1, 1), UPerNet(24), (1, 2, 5, 2), mlp_ratios=(4, 4, 2, 2),
    eps=(1e-6, 1e-6),
)  # fmt: skip
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upernet") / "model"
    upernet().save_pretrained(path)
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for file in ("config.json", "model.safetensors"):
        (path / file).write_bytes((made / file).read_bytes())
    return path


@pytest.mark.parametrize("size", [(96, 160), (128, 224)])
@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (2, 2, 1, 1), (1, 2, 3, 2)])
def test_logits_are_those_of_transformers(
    made: Path, size: tuple[int, int], factors: tuple[int, ...]
) -> None:
    checkpoint, theirs = load_checkpoint(made), upernet()
    pool(theirs, factors, size)
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    bases = [place.base for place in checkpoint.places.all]
    isr = checkpoint.places.isr(tuple(f * b for f, b in zip(factors, bases, strict=True)))
    with torch.inference_mode():
        ours = checkpoint.model(isr)(pixels)
    assert (ours - logits(theirs, pixels)).abs().max() <= TOLERANCE


def test_a_network_of_the_published_size(tmp_path: Path) -> None:
    """Real widths: what every file has whose names nobody changed."""
    usual = {"hidden_sizes": [32, 64, 160, 256], "depths": [2, 2, 2, 2], "mlp_ratios": [8, 8, 4, 4],
             "num_attention_heads": [1, 2, 5, 8]}  # fmt: skip
    theirs = upernet(usual, hidden_size=512, use_auxiliary_head=False)
    theirs.save_pretrained(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.variant.name == "upernet-pvt-v2-b0"
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert (checkpoint.model()(pixels) - logits(theirs, pixels)).abs().max() <= TOLERANCE


@pytest.mark.parametrize("side", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(6, 12), (7, 5), (16, 33), (1, 2)])
def test_pooling_is_adaptive(side: int, size: tuple[int, int]) -> None:
    feature = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = functional.adaptive_avg_pool2d(feature, side)
    assert torch.allclose(pooled(feature, side), expected, rtol=0, atol=1e-12)


def test_a_folder_says_all_of_it(folder: Path) -> None:
    assert owner(folder) is FAMILIES["convolutional"]
    made = load_checkpoint(folder)
    assert (made.variant, made.classes) == (SIZES, CLASSES)
    assert (made.variant.name, made.variant.title) == ("upernet", "UPerNet")
    assert made.format == "transformers' UperNet"
    assert all(name.startswith("auxiliary_head.") for name in made.coverage.left_over)
    assert made.sha256 == checkpoint_sha256(folder)
    with pytest.raises(InputError, match=r"--heads is not for .*: its config.json says it"):
        load_checkpoint(folder, given(heads="1,2,5,2"))


def _backbone(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["backbone_config"].update(changes)


WRONG: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda c: c.update(backbone_config=None), "expected a backbone_config"),
    (_backbone(model_type="convnext"), "expected the backbone pvt_v2 .* got 'convnext'"),
    (_backbone(linear_attention=True), "pools keys to 7x7, whatever the image, so ISR has no"),
    (_backbone(qkv_bias=False), "expected qkv_bias True"),
    (_backbone(hidden_sizes=[16, 32]), "expected 4 hidden_sizes"),
    (_backbone(depths=[3, 1, 1, 1]), "says sizes .* and the weights beside it"),
    (_backbone(depths="2"), "no configuration of a UPerNet"),
    (_backbone(num_attention_heads=[3, 2, 5, 2]), "expected heads that divide"),
    (_backbone(patch_sizes=7), "no configuration of a UPerNet"),
    (_backbone(patch_sizes=[[7, 7], 3, [], 3]), "no configuration of a UPerNet"),
    (_backbone(layer_norm_eps="small"), "expected layer_norm_eps"),
    (lambda c: c.update(pool_scales=[1, 2]), r"expected pool_scales \[1, 2, 3, 6\]"),
    (lambda c: c.update(hidden_size=32), "says sizes"),
    (lambda c: c.update(id2label={"0": "a"}), "says classes 1"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_configuration_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], words: str, folder: Path
) -> None:
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises((CheckpointError, InputError), match=words):
        load_checkpoint(folder)


def test_an_adapted_folder_is_theirs(folder: Path, tmp_path: Path) -> None:
    checkpoint, out = load_checkpoint(folder), tmp_path / "adapted"
    check_output(checkpoint, out)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    before, after = (load_file(path / "model.safetensors") for path in (folder, out))
    assert before.keys() == after.keys()
    for name, value in before.items():
        kept = not value.is_floating_point() or name.startswith("auxiliary_head.")
        assert torch.equal(after[name], value if kept else value + 1), name
    assert load_checkpoint(out).adapted == RECORD


_MMSEG = (
    (r"backbone\.encoder\.layers\.(\d)\.patch_embedding\.proj", "backbone.patch_embed{s}.proj"),
    (r"backbone\.encoder\.layers\.(\d)\.patch_embedding\.layer_norm",
     "backbone.patch_embed{s}.norm"),
    (r"backbone\.encoder\.layers\.(\d)\.layer_norm", "backbone.norm{s}"),
    (r"backbone\.encoder\.layers\.(\d)\.blocks", "backbone.block{s}"),
    (r"layer_norm_(\d)", r"norm\1"), (r"attention\.query", "attn.q"),
    (r"attention\.spatial_reduction", "attn.sr"), (r"attention\.layer_norm", "attn.norm"),
    (r"attention\.proj", "attn.proj"), (r"mlp\.dense(\d)", r"mlp.fc\1"),
    (r"\.batch_norm\.", ".bn."), (r"decode_head\.classifier", "decode_head.conv_seg"),
)  # fmt: skip


def mmseg_state(theirs: Any) -> dict[str, Tensor]:
    """transformers' weights under the names of PVT's release and mmsegmentation's UPerHead."""
    state, made = theirs.state_dict(), {}
    for name, value in state.items():
        found = re.search(r"layers\.(\d)", name)
        stage = str(int(found[1]) + 1) if found else ""
        other = name
        for pattern, new in _MMSEG:
            other = re.sub(pattern, new.replace("{s}", stage), other)
        if "attention.key" in other:
            values = state[name.replace(".key.", ".value.")]
            made[other.replace("attention.key", "attn.kv")] = torch.cat([value, values])
        elif "attention.value" not in other:
            made[other] = value
    return made


def _save(path: Path, state: dict[str, Tensor], meta: dict[str, Any] | None = None) -> Path:
    torch.save({"meta": meta or {}, "state_dict": state}, path)
    return path


HEADS_GIVEN = Given(heads=(1, 2, 5, 2))


def test_a_file_of_mmsegmentation_s_is_the_same_network(made: Path, tmp_path: Path) -> None:
    path = _save(tmp_path / "x.pth", mmseg_state(upernet()))
    file, folder = load_checkpoint(path, HEADS_GIVEN), load_checkpoint(made)
    assert owner(path) is FAMILIES["convolutional"]
    assert file.format == "mmsegmentation's UPerNet"
    assert file.variant == replace(SIZES, eps=(1e-6, 1e-5))
    assert file.state.keys() == folder.state.keys()
    assert all(torch.equal(value, folder.state[name]) for name, value in file.state.items())
    with pytest.raises(InputError, match=r"how many heads attention has .* such as --heads"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="says how it resizes; leave it out"):
        load_checkpoint(path, given(heads="1,2,5,2", align_corners="all"))


def test_a_configuration_that_aligns_corners_is_refused(tmp_path: Path) -> None:
    told = "model = dict(decode_head=dict(type='UPerHead', align_corners=True))"
    path = _save(tmp_path / "x.pth", mmseg_state(upernet()), {"config": told})
    with pytest.raises(CheckpointError, match="trained with align_corners=True"):
        load_checkpoint(path, HEADS_GIVEN)


OTHERS = {
    "a Swin transformer": "backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table",
    "a ConvNeXt": "backbone.stages.0.0.gamma",
    "a ResNet": "backbone.layer1.0.conv1.weight",
    "a SegNeXt": "backbone.block1.0.attn.spatial_gating_unit.conv0.weight",
    "a DINOv2": "backbone.cls_token",
    "an encoder that is no MiT and no PVTv2": "backbone.something.weight",
}


@pytest.mark.parametrize(("name", "key"), OTHERS.items())
def test_other_encoders_are_refused_by_name(name: str, key: str, tmp_path: Path) -> None:
    decoder = {n: v for n, v in mmseg_state(upernet()).items() if n.startswith("decode_head.")}
    path = _save(tmp_path / "x.pth", {**decoder, key: torch.zeros(3)})
    with pytest.raises(CheckpointError, match=f"has {name}"):
        load_checkpoint(path)


def test_the_linear_form_of_pvt_is_refused(tmp_path: Path) -> None:
    """Its names, as transformers and the release have them, without a configuration."""
    state = mmseg_state(upernet({"linear_attention": True}))
    path = _save(tmp_path / "x.pth", state)
    with pytest.raises(CheckpointError, match=r"a linear PVTv2 \(Li\) .*pools keys to a fixed 7x7"):
        load_checkpoint(path, HEADS_GIVEN)


def test_names_of_pairs() -> None:
    assert {"upernet-mit-b0", "upernet-mit-b5", "upernet-pvt-v2-b4"} <= NETWORKS.keys()
    assert NETWORKS["upernet-pvt-v2-b2"].title == "UPerNet-PVTv2-B2"
    assert NETWORKS["upernet-mit-b0"].title == "UPerNet-MiT-B0"
