"""Files as they lie on disks: envelopes, wrappers, what stands beside, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edaformer.engines.artifact.inspect import describe
from edaformer.errors import CheckpointError, InputError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats.file import fit
from edaformer.families.formats.naming import Naming
from edaformer.families.given import Given, given, options_of
from edaformer.families.reading.keys import keys_of
from edaformer.families.reading.weights import Weights
from edaformer.families.segformer.formats.file import FORMATS
from edaformer.families.segformer.loader import READER
from edaformer.families.segformer.network import SegFormer
from edaformer.families.segformer.sizes import SEGFORMERS, SegFormerSizes
from edaformer.families.table import FAMILIES, load_checkpoint, owner
from edaformer.preprocess import RELEASE, Normalisation
from tests.families.segformer.formats.projects import CLASSES, mmseg_model, nvlabs_state, save
from tests.families.segformer.hugging import hugging_model

State = dict[str, Tensor]


class Unknown:
    """What no reader knows."""


CONFIGURED = """
model = dict(type='EncoderDecoder',
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=True),
    backbone=dict(type='MixVisionTransformer', num_heads=[1, 2, 5, 4]),
    decode_head=dict(type='SegformerHead', align_corners={align}))
crop_size = (64, 96)
"""


@pytest.fixture(scope="module")
def nvlabs() -> State:
    return nvlabs_state(hugging_model())


@pytest.fixture(scope="module")
def mmseg() -> State:
    return mmseg_model().state_dict()


def read(path: Path, state: State, heads: tuple[int, ...] = (1, 2, 5, 2)) -> Checkpoint:
    return load_checkpoint(save(path, state), Given(heads=heads))  # type: ignore[arg-type]


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.state.keys() == other.state.keys() and all(
        torch.equal(value, other.state[name]) for name, value in one.state.items()
    )


def _wrapped(prefix: str) -> Callable[[State], Any]:
    return lambda state: {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"state_dict": state, "optimizer": {"state": {}}},
        lambda state: {"state_dict": {f"module.{name}": v for name, v in state.items()}},
        lambda state: {"model": state, "epoch": 3},
        _wrapped("model._orig_mod."),
        lambda state: {"state_dict": state, "ema_state_dict": state, "message_hub": {"a": 1}},
    ],
)
@pytest.mark.parametrize("form", ["nvlabs", "mmseg"])
def test_wrappers_and_envelopes(
    form: str, wrap: Callable[[State], Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    state = request.getfixturevalue(form)
    heads = {"nvlabs": (1, 2, 5, 2), "mmseg": (1, 2, 5, 4)}[form]
    torch.save(wrap(state), tmp_path / "wrapped.pth")
    made = load_checkpoint(tmp_path / "wrapped.pth", Given(heads=heads))  # type: ignore[arg-type]
    assert same(made, read(tmp_path / "plain.pth", state, heads))


def test_safetensors_and_half(nvlabs: State, tmp_path: Path) -> None:
    save_file({name: v.half() for name, v in nvlabs.items()}, tmp_path / "x.safetensors")
    made = load_checkpoint(tmp_path / "x.safetensors", Given(heads=(1, 2, 5, 2)))
    assert {v.dtype for v in made.state.values() if v.is_floating_point()} == {torch.float32}
    assert made.format == "NVlabs' SegFormer"


def test_the_name_says_nothing(nvlabs: State, mmseg: State, tmp_path: Path) -> None:
    first = save(tmp_path / "segformer_mmseg.pth", nvlabs)
    second = save(tmp_path / "nvlabs.bin", mmseg)
    assert owner(first) is owner(second) is FAMILIES["segformer"]
    assert load_checkpoint(first, given(heads="1,2,5,2")).variant.head == "linear"  # type: ignore[attr-defined]
    made = load_checkpoint(second, given(heads="1,2,5,4"))
    assert made.variant.head == "convolutions"  # type: ignore[attr-defined]
    assert made.format == "mmsegmentation's SegFormer"


def test_an_edaformer_s_file_stays_one(small_checkpoint: Checkpoint) -> None:
    assert owner(small_checkpoint.path) is FAMILIES["edaformer"]
    with pytest.raises(InputError, match=r"--heads is not for .*an EDAFormer's weights say it"):
        load_checkpoint(small_checkpoint.path, given(heads="1,2,4,8"))


def test_keys_cost_no_values(nvlabs: State, tmp_path: Path) -> None:
    """What is written over the values is found when they are read, and not before."""
    path = save(tmp_path / "x.pth", nvlabs)
    assert set(keys_of(path)) == nvlabs.keys()
    data = bytearray(path.read_bytes())
    value = next(iter(nvlabs.values())).numpy().tobytes()
    at = data.find(value)
    data[at : at + 4] = b"abcd"
    path.write_bytes(data)
    assert set(keys_of(path)) == nvlabs.keys()
    with pytest.raises(CheckpointError, match="does not have the checksum"):
        load_checkpoint(path, Given(heads=(1, 2, 5, 2)))
    assert keys_of(tmp_path / "none.pth") == ()
    (tmp_path / "y.pth").write_bytes(b"no weights")
    assert keys_of(tmp_path / "y.pth") == ()


def test_what_meta_says(mmseg: State, tmp_path: Path) -> None:
    """mmengine's: classes, palette, heads, align_corners, crop, normalisation."""
    meta = {"dataset_meta": {"classes": CLASSES, "palette": [[i, i, i] for i in range(5)]},
            "cfg": CONFIGURED.format(align=True)}  # fmt: skip
    made = load_checkpoint(save(tmp_path / "x.pth", mmseg, meta=meta))
    assert (made.classes, made.input_size) == (CLASSES, (64, 96))
    assert made.palette is not None
    assert made.normalisation == Normalisation((1, 2, 3), (4, 5, 6))
    assert made.variant.heads == (1, 2, 5, 4)  # type: ignore[attr-defined]
    assert made.variant.align_corners == "all"  # type: ignore[attr-defined]
    assert dict(made.assumed) == {
        "heads": "1,2,5,4 (the configuration in meta)",
        "align_corners": "all (the configuration in meta)",
    }
    assert options_of(made) == []
    over = load_checkpoint(tmp_path / "x.pth", given(align_corners="none"))
    assert over.variant.align_corners == "none"  # type: ignore[attr-defined]
    assert options_of(over) == ["--align-corners", "none"]


def test_what_mmcv_s_meta_says(nvlabs: State, tmp_path: Path) -> None:
    text = "img_norm_cfg = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)"
    meta = {"CLASSES": CLASSES, "PALETTE": [[1, 2, 3]] * 5, "config": text}
    made = load_checkpoint(save(tmp_path / "x.pth", nvlabs, meta=meta), given(heads="1,2,5,2"))
    assert (made.classes, made.normalisation.mean) == (CLASSES, (1, 2, 3))


def test_nothing_beside_the_weights(nvlabs: State, tmp_path: Path) -> None:
    made = read(tmp_path / "x.pth", nvlabs)
    assert (made.classes, made.normalisation, made.bgr) == (None, RELEASE, False)
    assert made.origins.normalisation == "assumed, ImageNet's: the file says none"
    assert dict(made.assumed)["heads"] == "1,2,5,2 (given)"
    assert options_of(made) == ["--heads", "1,2,5,2"]
    told = dict(describe(str(made.path), isr=None, size=None, num_classes=None,
                         given=given(heads="1,2,5,2")).facts)  # fmt: skip
    assert told["format"] == "NVlabs' SegFormer"
    assert told["align_corners"] == (
        "none (as published; the file does not say, --align-corners does)"
    )
    assert "no names" in str(told["classes"])
    assert "decode_head.conv_seg.bias" in str(told["weights used"])


def test_heads_are_asked_for(nvlabs: State, mmseg: State, tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", nvlabs)
    with pytest.raises(InputError, match=r"cannot be read off .* such as --heads 1,2,5,4"):
        load_checkpoint(save(tmp_path / "y.pth", mmseg))
    with pytest.raises(InputError, match="16,32,80,64 channels are none of MiT-B0's"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="expected heads that divide the 16,32,80,64 channels"):
        load_checkpoint(path, given(heads="1,2,7,2"))
    for text in ("1,2,5", "1,2,5,0", "a,b,c,d", "1,2,5,8,8", "", "99999,1,1,1"):
        with pytest.raises(InputError, match="expected --heads as 4 numbers with commas"):
            given(heads=text)


@pytest.mark.parametrize("name", SEGFORMERS)
def test_b0_to_b5_need_no_word(name: str) -> None:
    """Widths, depths and the decoder's 256 or 768 channels off the shapes of zeros."""
    sizes = SEGFORMERS[name]
    with torch.device("meta"):
        model = SegFormer(sizes, 19, sizes.places.base)
    form = FORMATS[0]
    blocks = [form.block.format(s=stage, b=block) + "norm1.weight"
              for stage, depth in enumerate(sizes.depths, 1) for block in range(depth)]  # fmt: skip
    expected = model.state_dict()
    places = Naming(form, blocks).places(expected)
    state = {
        key: torch.zeros(()).expand(place.shape(expected)) for key, place in places.items()
        if not key.endswith("num_batches_tracked")
    }  # fmt: skip
    made = fit(Path("x.pth"), Weights(state, {}), Given(), READER)
    variant = made.decided.sizes
    assert isinstance(variant, SegFormerSizes)
    assert (variant.name, made.num_classes, made.decided.options) == (name, 19, ())
    over = "-PVTv2" if "pvt" in name else ""
    assert variant.title == f"SegFormer{over}-{name[-2:].upper()}"
    assert replace(variant, eps=sizes.eps) == sizes


@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes(classes: int, tmp_path: Path) -> None:
    hugging = hugging_model(id2label={i: str(i) for i in range(classes)}, num_labels=classes)
    made = read(tmp_path / "x.pth", nvlabs_state(hugging))
    assert made.num_classes == classes
    assert ["threshold" in note for note in made.notes] == [True] * (classes == 1)


def _without(key: str) -> Callable[[State], State]:
    return lambda state: {name: v for name, v in state.items() if name != key}


def _with(key: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, key: value}


def _only(start: str) -> Callable[[State], State]:
    return lambda state: {name: v for name, v in state.items() if name.startswith(start)}


SR, KV, FUSE = "backbone.block1.0.attn.sr.weight", "backbone.block1.0.attn.kv.weight", "linear_fuse"
WRONG: list[tuple[Callable[[State], Any], str]] = [
    (_without(KV), rf"1 missing \({KV}\)"),
    (_with("backbone.block1.0.attn.kv2.weight", torch.zeros(2)), r"1 unknown \(backbone\.block1"),
    (_with(KV, torch.zeros(31, 16)), r"wrongly shaped .*\(31, 16\) instead of \(32, 16\)"),
    (_with(KV, torch.full((32, 16), torch.nan)), "1 not finite"),
    (_with(SR, torch.zeros(16, 16, 4, 8)), r"\(16, 16, 4, 8\) instead of \(16, 16, 4, 4\)"),
    (_with(KV, torch.zeros(32, 16, dtype=torch.int32)), "expected weights in floating point"),
    (_without("backbone.patch_embed1.proj.weight"), r"expected backbone\.patch_embed1\.proj"),
    (_with("backbone.patch_embed1.proj.weight", torch.zeros(16, 4, 7, 7)),
     "takes images of 4 channels"),
    (_with("decode_head.linear_pred.weight", torch.zeros(300, 24, 1, 1)), "300 classes, where 1"),
    (_with("backbone.block1.0.mlp.fc1.weight", torch.zeros(33, 16)), "no whole multiples"),
    (_only("backbone."), "is the encoder alone, as pretrained on ImageNet"),
    (lambda s: {n.removeprefix("backbone."): v for n, v in s.items() if n.startswith("backbone.")},
     "is the encoder alone, as pretrained on ImageNet"),
    (lambda s: {**s, **{f"ema_{n.replace('.', '_')}": v for n, v in s.items()}},
     "two sets of weights, the model's and .* of mmcv's EMAHook"),
    (lambda s: {"model": s, "model_ema": s}, "holds 2 sets of weights, under 'model' and"),
    (_with("decoder.bot_conv.weight", torch.zeros(1)), "is a GLPN, which estimates depth"),
    (lambda s: {**s, "backbone.norm2.bias": Unknown()}, "entries that are not tensors"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_refused_by_name(
    change: Callable[[State], Any], words: str, nvlabs: State, tmp_path: Path
) -> None:
    torch.save(change(nvlabs), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "x.pth", Given(heads=(1, 2, 5, 2)))


def test_mmsegmentation_s_encoder_alone(mmseg: State, tmp_path: Path) -> None:
    bare = {name.removeprefix("backbone."): v for name, v in mmseg.items() if "backbone" in name}
    with pytest.raises(CheckpointError, match="is the encoder alone"):
        load_checkpoint(save(tmp_path / "x.pth", bare))


def test_auxiliary_heads_are_left_over(mmseg: State, tmp_path: Path) -> None:
    extra = {"auxiliary_head.conv_seg.weight": torch.zeros(2, 2, 1, 1)}
    made = read(tmp_path / "x.pth", {**mmseg, **extra}, (1, 2, 5, 4))
    assert made.coverage.left_over == tuple(extra)
