"""Envelopes, wrappers, classes of other packages, dtypes: one small model in all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import load_checkpoint
from tests.families.segformer.hugging import hugging_model, save_folder
from tests.field import checkpoints as field

State = dict[str, torch.Tensor]
FIRST = "encoder.stage1.embed.proj.weight"


@pytest.fixture(scope="module")
def state(small_checkpoint: Checkpoint) -> State:
    return dict(small_checkpoint.state)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


ENVELOPES: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "model": lambda s: {"model": s, "epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}},
    "state_dict": lambda s: {"state_dict": s},
    "an odd one": lambda s: {"generator_weights": s},
    "two deep": lambda s: {"checkpoint": {"model": s, "step": 1}},
}
WRAPPERS = ("module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "model.net.module.",
            "ema_model.module.")  # fmt: skip


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_envelopes(envelope: str, state: State, tmp_path: Path) -> None:
    torch.save(ENVELOPES[envelope](state), tmp_path / "x.pth")
    same(load_checkpoint(tmp_path / "x.pth"), state)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("prefix", WRAPPERS)
def test_wrappers(prefix: str, suffix: str, state: State, tmp_path: Path) -> None:
    path, wrapped = tmp_path / f"x.{suffix}", prefixed(state, prefix)
    torch.save({"model": wrapped}, path) if suffix == "pth" else save_file(wrapped, path)
    same(load_checkpoint(path), state)


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_wrappers_in_a_folder(prefix: str, tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "folder")
    expected = load_checkpoint(folder).state
    wrapped = prefixed(dict(hugging_model().state_dict()), prefix)
    save_file(wrapped, folder / "model.safetensors")
    same(load_checkpoint(folder), expected)


def test_a_compiled_part(state: State, tmp_path: Path) -> None:
    """torch.compile of the encoder alone."""
    half = {key.replace("encoder.", "encoder._orig_mod."): v for key, v in state.items()}
    torch.save(half, tmp_path / "x.pth")
    same(load_checkpoint(tmp_path / "x.pth"), state)


def test_an_averaged_model(state: State, tmp_path: Path) -> None:
    loaded = load_checkpoint(field.averaged(tmp_path / "x.pth", state))
    same(loaded, state)
    assert loaded.coverage.left_over == ("n_averaged",)
    save_file(
        prefixed(state, "module.") | {"n_averaged": torch.tensor(7)}, tmp_path / "x.safetensors"
    )
    same(load_checkpoint(tmp_path / "x.safetensors"), state)


def test_mmengine(state: State, tmp_path: Path) -> None:
    names, colours = list("abcde"), [[i, 2 * i, 3 * i] for i in range(5)]
    path = field.mmengine(tmp_path / "x.pth", state, classes=names, palette=colours)
    loaded = load_checkpoint(path)
    same(loaded, state)
    assert (loaded.classes, loaded.input_size) == (tuple(names), (384, 512))
    assert loaded.palette == tuple(map(tuple, colours))
    assert loaded.normalisation.mean == (120.5, 115.0, 100.0)
    assert (loaded.bgr, loaded.notes) == (False, ())
    assert loaded.origins.normalisation == "meta's cfg"
    assert loaded.origins.classes == "meta's dataset_meta"


def test_mmengine_s_averaged_weights_are_in_state_dict(state: State, tmp_path: Path) -> None:
    """Its EMAHook swaps them when it saves."""
    raw = {f"module.{key}": torch.zeros_like(value) for key, value in state.items()}
    content = {"state_dict": state, "ema_state_dict": raw, "message_hub": {}, "meta": {}}
    torch.save(content, tmp_path / "x.pth")
    loaded = load_checkpoint(tmp_path / "x.pth")
    same(loaded, state)
    assert loaded.coverage.left_over == ("ema_state_dict",)


def test_blue_first(state: State, tmp_path: Path) -> None:
    """A configuration without bgr_to_rgb: the network takes RGB after all, and says the same."""
    cfg = field.CFG.replace("bgr_to_rgb=True", "bgr_to_rgb=False")
    loaded = load_checkpoint(field.mmengine(tmp_path / "x.pth", state, cfg))
    assert loaded.bgr
    assert torch.equal(loaded.state[FIRST], state[FIRST].flip(1))
    assert loaded.normalisation.mean == (100.0, 115.0, 120.5)


def test_lightning(state: State, tmp_path: Path) -> None:
    same(load_checkpoint(field.lightning(tmp_path / "x.pth", state)), state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(protocol: int, state: State, tmp_path: Path) -> None:
    content = {"state_dict": state, "meta": {"seen": {1, 2}, "raw": b"\xff\0", "no": (None, 1e3)}}
    torch.save(content, tmp_path / "x.pth", pickle_protocol=protocol)
    same(load_checkpoint(tmp_path / "x.pth"), state)


def test_as_torch_reads_it(state: State, camvid_checkpoint: Path, tmp_path: Path) -> None:
    """Shared storages, slices, strides, parameters: both forms of file, bit for bit."""
    import edaformer.families.reading.weights as reading

    whole = torch.randn(6, 8)
    odd = {
        "a.anchor": whole[2:4], "t": whole.t(), "p": torch.nn.Parameter(whole[:, 3]),
        "h": whole.half(), "b": whole.bfloat16()[1:], "d": whole.double(),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5), "n.num_batches_tracked": torch.tensor(4),
    }  # fmt: skip
    torch.save({"state_dict": odd}, tmp_path / "zip.pth")
    field.legacy(tmp_path / "legacy.pth", {"state_dict": odd})
    for name in ("zip.pth", "legacy.pth"):
        read = reading.read_weights(tmp_path / name, ["a.anchor"]).tensors
        theirs = torch.load(tmp_path / name, weights_only=True)["state_dict"]
        assert read.keys() == theirs.keys()
        assert all(torch.equal(read[key], value) for key, value in theirs.items())
        assert all(read[key].dtype == value.dtype for key, value in theirs.items())
    trained = torch.load(camvid_checkpoint, weights_only=True)["state_dict"]
    read = reading.read_weights(camvid_checkpoint, ["backbone.patch_embed1.proj.weight"]).tensors
    assert all(torch.equal(read[key], value) for key, value in trained.items())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda s: s | prefixed(s, "module."), r"holds 2 copies of the weights, under '' and 'mod"),
        (lambda s: prefixed(s, "model.") | prefixed(s, "ema."), r"under 'ema.' and 'model.'"),
        (lambda s: prefixed(s, "model.") | {FIRST.replace("proj", "norm"): s[FIRST]},
         r"two copies of one weight, encoder.stage1.embed.norm.weight and model.encoder"),
        (lambda s: s | {"_orig_mod." + FIRST: s[FIRST]}, r"two copies of one weight, enc.*_orig"),
        (lambda s: s | {"backbone.patch_embed1.norm.bias": s["encoder.stage1.embed.norm.bias"]},
         r"two copies of one weight"),
        (lambda s: {"model": s, "model_ema": s}, r"2 sets of weights, under 'model' and 'model_"),
        (lambda s: {"model": s, "ema_state_dict": s}, r"2 sets of weights"),
        (lambda s: prefixed(s, "net.") | {"criterion.weight": torch.ones(3)},
         r"all but 1 of the \d+ weights in .* begin with 'net.', and these do not: criterion"),
        (lambda s: s | {"encoder.q.lora_A.default.weight": torch.ones(2, 2)}, r"not merged"),
        (lambda s: {key.replace("mlp.fc1", "mlp.fc1.base_layer"): v for key, v in s.items()},
         r"weights of an adapter that is not merged"),
    ],
)  # fmt: skip
def test_two_copies_and_strangers_are_refused(
    content: Callable[[State], Any], words: str, state: State, tmp_path: Path
) -> None:
    torch.save(content(state), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "x.pth")


ODD: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "int8": lambda v: (v * 9).to(torch.int8),
    "uint16": lambda v: torch.zeros_like(v).to(torch.uint16),
    "int64": torch.Tensor.long,
    "bool": torch.Tensor.bool,
    "complex64": lambda v: v * 1j,
    "float8_e4m3fn": lambda v: v.to(torch.float8_e4m3fn),
    "sparse": torch.Tensor.to_sparse,
    "meta": lambda v: v.to("meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_only_floating_point(kind: str, state: State, tmp_path: Path) -> None:
    torch.save(state | {FIRST: ODD[kind](state[FIRST])}, tmp_path / "x.pth")
    words = rf"expected weights in floating point in .*, got 1 {kind} \({FIRST}\); save them"
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("kind", ["int8", "int64", "bool", "complex64", "float8_e4m3fn"])
def test_only_floating_point_in_safetensors(kind: str, state: State, tmp_path: Path) -> None:
    save_file(state | {FIRST: ODD[kind](state[FIRST])}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=rf"got 1 {kind} \({FIRST}\)"):
        load_checkpoint(tmp_path / "x.safetensors")
    folder = save_folder(tmp_path / "folder")
    weights = {k: v.contiguous() for k, v in hugging_model().state_dict().items()}
    bias = "decode_head.classifier.bias"
    save_file(weights | {bias: ODD[kind](weights[bias])}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"got 1 {kind} \({bias}\)"):
        load_checkpoint(folder)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantised_weights(state: State, tmp_path: Path) -> None:
    torch.save(state | {FIRST: torch.quantize_per_tensor(state[FIRST], 0.1, 0, torch.qint8)},
               tmp_path / "x.pth")  # fmt: skip
    with pytest.raises(CheckpointError, match=r"got 1 quantised"):
        load_checkpoint(tmp_path / "x.pth")


def test_unknown_classes_inside_the_weights_are_refused(state: State, tmp_path: Path) -> None:
    kind = field.foreign("somelib.Config")
    torch.save({"state_dict": state | {"encoder.extra": kind()}}, tmp_path / "x.pth")
    torch.save({"state_dict": state, "extra": kind()}, tmp_path / "beside.pth")
    torch.save({"model": kind()}, tmp_path / "model.pth")
    torch.save(kind(), tmp_path / "whole.pth")
    field.forget("somelib")
    same(load_checkpoint(tmp_path / "beside.pth"), state)
    with pytest.raises(
        CheckpointError, match=r"1 entries that are not tensors \(encoder.extra: somelib"
    ):
        load_checkpoint(tmp_path / "x.pth")
    for name in ("model.pth", "whole.pth"):
        with pytest.raises(
            CheckpointError, match=r"a whole object, a 'somelib.Config', .* refused"
        ):
            load_checkpoint(tmp_path / name)


def test_a_tensor_of_a_class_of_its_own_is_refused(state: State, tmp_path: Path) -> None:
    kind = field.foreign("somelib.Tensor", (torch.Tensor,))
    torch.save(state | {FIRST: state[FIRST].as_subclass(kind)}, tmp_path / "x.pth")
    field.forget("somelib")
    with pytest.raises(CheckpointError, match=r"got 1 of the class somelib.Tensor"):
        load_checkpoint(tmp_path / "x.pth")


def test_weights_that_repeat_one_value_without_having_it(state: State, tmp_path: Path) -> None:
    """A stride of 0: 10^12 values out of four bytes."""
    torch.save(state | {FIRST: torch.zeros(1).expand(10**12)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="a storage that cannot hold it"):
        load_checkpoint(tmp_path / "x.pth")


NESTED: list[Any] = []
for _ in range(150):  # what torch.save itself can write; test_pickles goes deeper
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("meta", "note"),
    [
        ({"PALETTE": [[float("inf"), 0, 0]] * 5}, "the palette in meta is left out"),
        ({"PALETTE": [[256, 0, 0]] * 5}, "the palette in meta is left out"),
        ({"PALETTE": [[-1, 0, 0]] * 5}, "the palette in meta is left out"),
        ({"PALETTE": np.full((5, 3), np.nan)}, "the palette in meta is left out"),
        ({"PALETTE": ["#fff"] * 5}, "the palette in meta is left out"),
        ({"PALETTE": [[1, 2, 3]] * 4}, "it is not 5 colours"),
        ({"CLASSES": ["a", "b\ud800", "c", "d", "e"]}, r"name 1, 'b\\ud800', has characters"),
        ({"CLASSES": ["a", "b\nc", "c", "d", "e"]}, "cannot be printed"),
        ({"CLASSES": list("abc")}, "they are 3, and the network has 5 classes; --names FILE"),
        ({"CLASSES": [1, 2, 3, 4, 5]}, "name 0 is 1, no text"),
        ({"cfg": "crop_size = (("}, "is no Python text"),
        ({"cfg": "x = " + "(" * 5000}, "is no Python text"),
        ({"mean": [1, 2], "std": [1, 2, 3]}, "the normalisation in meta is left out"),
        ({"mean": [1, 2, float("nan")], "std": [1, 2, 3]}, "the normalisation in meta is left out"),
        (
            {"cfg": "img_norm_cfg = dict(mean=[1, 2, 3], std=[1, 2, 0])"},
            "in meta's cfg is left out",
        ),
        ({"anything": NESTED}, None),
        ({"input_size": [10**9, 1]}, None),
    ],
)
def test_what_is_of_no_use_is_left_out_and_said(
    meta: dict[str, Any], note: str | None, state: State, tmp_path: Path
) -> None:
    torch.save({"state_dict": state, "meta": meta}, tmp_path / "x.pth")
    loaded = load_checkpoint(tmp_path / "x.pth")
    same(loaded, state)
    said = " ".join(loaded.notes)
    assert (note is None and not said) or (note is not None and note.replace("\\\\", "\\") in said)
    assert (loaded.classes, loaded.palette, loaded.input_size) == (None, None, None)
    assert loaded.origins.normalisation.startswith("assumed")


def test_our_own_meta(state: State, tmp_path: Path) -> None:
    """The five lines of docs/checkpoints.md."""
    meta = {"classes": list("abcde"), "input_size": [360, 480], "mean": [1.0, 2, 3],
            "std": [4, 5, 6], "bgr": True}  # fmt: skip
    torch.save({"state_dict": state, "meta": meta}, tmp_path / "x.pth")
    loaded = load_checkpoint(tmp_path / "x.pth")
    assert (loaded.classes, loaded.input_size) == (tuple("abcde"), (360, 480))
    assert (loaded.normalisation.mean, loaded.normalisation.std) == ((3, 2, 1), (6, 5, 4))
    assert loaded.bgr
    assert torch.equal(loaded.state[FIRST], state[FIRST].flip(1))


def test_nothing_of_a_file_runs(state: State, tmp_path: Path) -> None:
    """In any place, and whatever the name is that would run it."""
    ran = tmp_path / "ran"

    class Evil:
        def __init__(self, call: Any, *arguments: Any) -> None:
            self.call, self.arguments = call, arguments

        def __reduce__(self) -> tuple[Any, ...]:
            return self.call, self.arguments

    import runpy
    import shutil
    import subprocess

    evils = {
        "os": Evil(os.system, f"touch {ran}"),
        "eval": Evil(eval, f"open({str(ran)!r}, 'w')"),
        "open": Evil(open, str(ran), "w"),
        "subprocess": Evil(subprocess.Popen, ["touch", str(ran)]),
        "shutil": Evil(shutil.rmtree, str(tmp_path / "x")),
        "runpy": Evil(runpy.run_path, str(ran)),
    }
    for name, evil in evils.items():
        for place in (
            {"state_dict": state, "meta": {"x": evil}},
            {"state_dict": {"x": evil}},
            evil,
        ):
            torch.save(place, tmp_path / f"{name}.pth")
            with pytest.raises(CheckpointError, match=r"asks to run '.*' while loading.*refused"):
                load_checkpoint(tmp_path / f"{name}.pth")
    assert not ran.exists()


@pytest.mark.parametrize(
    "text", ["[" * 10**5 + "]" * 10**5, '{"a":' * 10**5 + "1" + "}" * 10**5, "{", "NaN"]
)
def test_hostile_metadata_of_safetensors(text: str, state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "x.safetensors", metadata={"edaformer": text})
    with pytest.raises(CheckpointError, match="is damaged or cut short"):
        load_checkpoint(tmp_path / "x.safetensors")


def same(loaded: Checkpoint, state: State) -> None:
    assert loaded.state.keys() == state.keys()
    assert all(torch.equal(loaded.state[key], value) for key, value in state.items())
