from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import published_to_ours, save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.families.table import load_checkpoint
from tests.recipe import recipe_weight, state_dict_shapes


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A published-format T state dict of 5 classes, made by turning our names back."""
    model = EDAFormer(VARIANTS["T"], 5)
    names = {published_to_ours(key): key for key in _published_keys()}
    state = {names[name]: recipe_weight(names[name], list(v.shape))
             for name, v in model.state_dict().items()}  # fmt: skip
    state["decode_head.conv_seg.weight"] = torch.zeros(5, 128, 1, 1)
    state["decode_head.conv_seg.bias"] = torch.zeros(5)
    return state


def _published_keys() -> list[str]:
    """Every published key of T, from the naming scheme."""
    keys = []
    block = ["norm1", "attn.proj", "attn.sr", "norm2", "mlp.fc1", "mlp.dwconv.dwconv", "mlp.fc2"]
    for stage, depth in enumerate(VARIANTS["T"].depths, start=1):
        keys += [f"backbone.patch_embed{stage}.{part}" for part in ("proj", "norm")]
        keys += [f"backbone.block{stage}.{i}.{part}" for i in range(depth) for part in block]
        keys += [f"backbone.norm{stage}"]
    for branch in ("attn4", "attn44", "attn444", "attn3", "attn33", "attn2"):
        keys += [f"decode_head.{branch}.{part}" for part in [*block, "attn.norm"]]
    keys += ["decode_head.linear_fuse.bn", "decode_head.linear_pred"]
    keys = [f"{key}.{leaf}" for key in keys for leaf in ("weight", "bias")]
    batchnorm = ("running_mean", "running_var", "num_batches_tracked")
    keys += [f"decode_head.linear_fuse.bn.{leaf}" for leaf in batchnorm]
    return [*keys, "decode_head.linear_fuse.conv.weight"]


def _save(path: Path, state: dict[str, torch.Tensor], **meta: Any) -> Path:
    torch.save({"meta": meta, "state_dict": state}, path)
    return path


@pytest.mark.parametrize("name", ["t150", "t19", "t171", "b150", "b19", "b171"])
def test_every_published_key_is_covered(name: str, reference: Path) -> None:
    shapes = state_dict_shapes(reference)[name]
    with torch.device("meta"):
        model = EDAFormer(VARIANTS[name[0].upper()], int(name[1:]))
    ours = {key: list(value.shape) for key, value in model.state_dict().items()}
    mapped = {published_to_ours(key): shape for key, shape in shapes.items()}
    unused = {"decode_head.conv_seg.weight", "decode_head.conv_seg.bias"}
    assert {key for key in shapes if published_to_ours(key) is None} == unused
    del mapped[None]
    assert mapped == ours


def test_the_naming_scheme_here_is_the_published_one(reference: Path) -> None:
    unused = {"decode_head.conv_seg.weight", "decode_head.conv_seg.bias"}
    assert set(_published_keys()) == state_dict_shapes(reference)["t150"].keys() - unused


def test_loads_the_published_format(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    prefixed = {f"module.{key}": value for key, value in published.items()}
    content = {
        "meta": {"CLASSES": tuple("abcde"), "PALETTE": np.arange(15).reshape(5, 3), "epoch": 3,
                 "config": "crop_size = (512, 1024)\n",
                 "hook_msgs": {"best_score": np.float64(42.3), "n": np.int64(3)}},
        "state_dict": prefixed,
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
    }  # fmt: skip
    torch.save(content, tmp_path / "x.pth")
    loaded = load_checkpoint(tmp_path / "x.pth")
    assert (loaded.variant.name, loaded.num_classes) == ("T", 5)
    assert loaded.coverage.used == len(published) - 2
    assert loaded.coverage.left_over == (
        "decode_head.conv_seg.bias",
        "decode_head.conv_seg.weight",
    )
    assert loaded.classes == tuple("abcde")
    assert loaded.palette is not None
    assert loaded.palette[1] == (3, 4, 5)
    assert loaded.input_size == (512, 1024)
    weight = published["backbone.block1.0.attn.sr.weight"]
    assert torch.equal(loaded.model().encoder.stage1.blocks[0].attention.kv.weight, weight)


def test_loads_it_as_mmengine_wraps_it(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """mmsegmentation 1.x: another meta, a message hub, and the raw weights beside the averaged."""
    normalisation = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True"
    content = {
        "meta": {"cfg": f"data_preprocessor = dict({normalisation})\ncrop_size = (512, 1024)\n",
                 "dataset_meta": {"classes": tuple("abcde"), "palette": [[1, 2, 3]] * 5}},
        "state_dict": published,
        "ema_state_dict": {key: value + 1 for key, value in published.items()},
        "message_hub": {"log_scalars": {}},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
    }  # fmt: skip
    torch.save(content, tmp_path / "x.pth")
    loaded = load_checkpoint(tmp_path / "x.pth")
    assert (loaded.variant.family, loaded.classes) == ("edaformer", tuple("abcde"))
    assert (loaded.input_size, loaded.origins.normalisation) == ((512, 1024), "meta's cfg")
    assert "ema_state_dict" in loaded.coverage.left_over


def test_a_bare_state_dict_loads(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(published, tmp_path / "x.pth")
    assert load_checkpoint(tmp_path / "x.pth").num_classes == 5


@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_numpy_1_and_2_scalars_in_meta(
    package: str, published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = _save(tmp_path / "x.pth", published, best=np.float64(1.5), palette=np.ones((2, 2)))
    other = "numpy.core" if package == "numpy._core" else "numpy._core"
    _rename_global(path, f"{other}.multiarray", f"{package}.multiarray")
    assert load_checkpoint(path).num_classes == 5


def _rename_global(path: Path, old: str, new: str) -> None:
    """Rewrite a module name in the pickle inside a torch.save archive."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        entries = {item.filename: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            if name.endswith("data.pkl"):
                data = data.replace(f"c{old}\n".encode(), f"c{new}\n".encode())  # noqa: PLW2901
                assert f"c{new}\n".encode() in data
            archive.writestr(name, data)


def test_our_safetensors_read_back(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = small_checkpoint.model()
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, model, classes="abcde", palette=[(i, i, i) for i in range(5)],
                    input_size=(360, 480), half=True)  # fmt: skip
    loaded = load_checkpoint(path)
    assert (loaded.classes, loaded.input_size) == (tuple("abcde"), (360, 480))
    assert all(v.dtype == torch.float32 for v in loaded.state.values() if v.is_floating_point())
    expected = {k: v.half().float() for k, v in model.state_dict().items() if v.is_floating_point()}
    assert all(torch.equal(loaded.state[key], value) for key, value in expected.items())


def _bad(published: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    state = dict(published)
    key = "backbone.block1.0.attn.sr.weight"
    if kind == "missing":
        for name in list(state)[40:47]:
            del state[name]
    elif kind == "unknown":
        state["backbone.extra.weight"] = torch.zeros(1)
    elif kind == "misshapen":
        state[key] = torch.zeros(32, 31, 1, 1)
    elif kind == "nan":
        state[key] = torch.full_like(state[key], float("nan"))
    elif kind == "class count":
        state["decode_head.linear_pred.bias"] = torch.zeros(6)
    return state


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", r"7 missing \(encoder.stage2.*, ... 4 more\); use a complete checkpoint"),
        ("unknown", r"1 unknown \(backbone.extra.weight\)"),
        ("misshapen", r"1 wrongly shaped \(encoder.stage1.blocks.0.attention.kv.weight \(32, 31"),
        ("nan", r"1 not finite \(encoder.stage1.blocks.0.attention.kv.weight\)"),
        ("class count", r"decoder.classify.bias \(6,\) instead of \(5,\)"),
    ],
)
def test_refuses_what_would_compute_nonsense(
    kind: str, words: str, published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = _save(tmp_path / "x.pth", _bad(published, kind))
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(path)


def test_the_encoder_alone_is_recognised(
    published: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    encoder = {
        key.removeprefix("backbone."): v for key, v in published.items() if "backbone" in key
    }
    torch.save({"state_dict": encoder, "epoch": 300}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="is the encoder alone, as pretrained on ImageNet"):
        load_checkpoint(tmp_path / "x.pth")


def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"state_dict": {}, "meta": {"x": Evil()}}, tmp_path / "zip.pth")
    (tmp_path / "legacy.pth").write_bytes(pickle.dumps({"x": Evil()}, protocol=2))
    for name in ("zip.pth", "legacy.pth"):
        with pytest.raises(CheckpointError, match=r"asks to run '\w+.system'.*refused"):
            load_checkpoint(tmp_path / name)
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0" + b"x" * 100, "is a JPEG image"),
        (b"\x89PNG" + b"x" * 100, "is a PNG image"),
        (b"hello, world, this is text", "is neither"),
        (b"PK\x03\x04" + b"x" * 100, "damaged or cut short"),
        (b"\x80\x02garbage", "damaged or cut short"),
        (b"\x10\0\0\0\0\0\0\0{garbage, not json", "damaged or cut short"),
    ],
)
def test_other_files(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_truncated(
    share: float, suffix: str, published: dict[str, torch.Tensor], small_checkpoint: Checkpoint,
    tmp_path: Path,
) -> None:  # fmt: skip
    buffer = io.BytesIO()
    torch.save({"state_dict": published}, buffer)
    data = buffer.getvalue() if suffix == "pth" else small_checkpoint.path.read_bytes()
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": {"a": torch.zeros(1)}}, "is not an EDAFormer checkpoint"),
        ({"a": 1}, "1 entries that are not tensors"),
        ([1, 2], "holds no state_dict"),
        ({}, "holds no state_dict"),
    ],
)
def test_other_contents(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "x.pth")


def test_another_width_is_no_variant(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state = {**published, "backbone.patch_embed1.proj.weight": torch.zeros(48, 3, 7, 7)}
    with pytest.raises(CheckpointError, match="no known variant"):
        load_checkpoint(_save(tmp_path / "x.pth", state))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found nothing there; check the path"):
        load_checkpoint(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="found a folder"):
        load_checkpoint(tmp_path)


@pytest.mark.weights
def test_the_trained_checkpoint(camvid_checkpoint: Path) -> None:
    loaded = load_checkpoint(camvid_checkpoint)
    assert (loaded.variant.name, loaded.num_classes, loaded.coverage.used) == ("T", 11, 352)
    assert loaded.classes is not None
    assert loaded.classes[0] == "sky"
