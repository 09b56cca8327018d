"""Folders of shards, and what an index may say."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edaformer.errors import CheckpointError, InputError
from edaformer.families.table import checkpoint_sha256, load_checkpoint
from tests.families.segformer.hugging import change_config, save_folder
from tests.field import checkpoints as field

WHOLE = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_folder(tmp_path / "folder")


@pytest.fixture
def sharded(folder: Path) -> Path:
    """Two shards and their index, as transformers writes a large model."""
    state = load_file(folder / WHOLE)
    (folder / WHOLE).unlink()
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    places = {key: names[at % 2] for at, key in enumerate(sorted(state))}
    for name in names:
        save_file({k: v for k, v in state.items() if places[k] == name}, folder / name)
    return field.shards(folder, places)


def index_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]


def test_shards_are_the_whole(sharded: Path, tmp_path: Path) -> None:
    made, whole = load_checkpoint(sharded), load_checkpoint(save_folder(tmp_path / "whole"))
    assert made.state.keys() == whole.state.keys()
    assert all(torch.equal(made.state[key], value) for key, value in whole.state.items())


def test_the_hash_covers_the_index_and_every_file_it_names(sharded: Path) -> None:
    hashes = {checkpoint_sha256(sharded)}
    for file in (*sorted(sharded.glob("*.safetensors")), sharded / "model.safetensors.index.json"):
        file.write_bytes(file.read_bytes() + b" ")
        hashes.add(checkpoint_sha256(sharded))
    assert len(hashes) == 4


@pytest.mark.parametrize(
    "shard",
    ["../model.safetensors", "/etc/model.safetensors", "sub/model.safetensors", "..",
     "..\\model.safetensors", "C:model.safetensors", "model.bin", "", 3, None, ["a.safetensors"],
     "a\x1b[31m.safetensors"],
)  # fmt: skip
def test_an_index_names_files_of_its_folder(shard: object, sharded: Path) -> None:
    shutil.copy(next(sharded.glob("*.safetensors")), sharded.parent / WHOLE)
    places = index_of(sharded)
    field.shards(sharded, places | {min(places): shard})
    with pytest.raises(CheckpointError, match=r"expected the file of .* as the name of a .safe"):
        load_checkpoint(sharded)


@pytest.mark.parametrize("weight_map", [None, [], {}, "x", 3])
def test_an_index_has_a_map(weight_map: object, sharded: Path) -> None:
    field.shards(sharded, weight_map)
    with pytest.raises(CheckpointError, match="expected a weight_map in"):
        load_checkpoint(sharded)


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 10**5, '{"weight_map": {"a": 1e999}}'])
def test_an_index_is_json(content: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index.json is (not JSON|no JSON object)"):
        load_checkpoint(sharded)


def test_an_index_that_does_not_fit_its_files(sharded: Path) -> None:
    places = index_of(sharded)
    first = min(places)
    field.shards(sharded, {key: shard for key, shard in places.items() if key != first})
    with pytest.raises(CheckpointError, match=r"also has decode_head"):
        load_checkpoint(sharded)
    field.shards(sharded, places | {"extra\ud800": places[first]})
    with pytest.raises(CheckpointError, match=r"lacks extra\\ud800"):
        load_checkpoint(sharded)
    field.shards(sharded, places | {"extra": "model-00003-of-00002.safetensors"})
    with pytest.raises(CheckpointError, match=r"model-00003-of-00002.safetensors of .* is not th"):
        load_checkpoint(sharded)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id2label": None, "num_labels": 10_000_000}, "expected 1 to 256 classes in"),
        ({"id2label": {str(i): f"c{i}" for i in range(300)}}, "expected 1 to 256 classes"),
        ({"num_labels": 7}, "num_labels is 7 and id2label has 5 names"),
        ({"num_labels": True, "id2label": None}, "num_labels is True"),
        ({"id2label": {"a": "road"}}, "id2label has 1 names, of a"),
        ({"id2label": ["road"]}, "id2label is no object"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "has a quantization_config"),
        ({"depths": [60000, 2, 2, 2]}, r"60006 blocks and \d+ weights"),
        ({"hidden_sizes": [1e9, 2, 2, 2]}, "hidden_sizes is"),
    ],
)
def test_a_hostile_configuration(changes: dict[str, Any], words: str, folder: Path) -> None:
    change_config(folder, **changes)
    with pytest.raises(InputError, match=words):
        load_checkpoint(folder)


def test_settings_of_how_it_is_computed_import_nothing(folder: Path) -> None:
    before = set(sys.modules)
    change_config(
        folder, attn_implementation="kernels-community/flash-attn", dtype="float8",
        auto_map={"AutoConfig": "evil.Config"}, _attn_implementation="flash_attention_2",
    )  # fmt: skip
    assert load_checkpoint(folder).num_classes == 5
    new = set(sys.modules) - before
    assert not [name for name in new if name.startswith(("kernels", "evil", "transformers"))]


def test_names_that_are_none_are_left_out_and_said(folder: Path) -> None:
    change_config(folder, id2label={str(i): name for i, name in enumerate(["a", "b\n", *"cde"])})
    loaded = load_checkpoint(folder)
    assert loaded.classes is None
    assert "--names FILE gives others" in loaded.notes[0]
