"""Adapted checkpoints as their sources are written: names, types, metadata; and their record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edaformer.errors import InputError
from edaformer.families.adapted import Adapted, read_adapted
from edaformer.families.adapted_weights import check_output
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.given import Given
from edaformer.families.reading.training import ADAPTED
from edaformer.families.table import load_checkpoint, save_adapted

RECORD = Adapted(
    source="model.pth", source_sha256="a" * 64, isr=("16,8,4,1-1,2,4",), frames=9,
    frames_sha256="b" * 64, steps=30, seed=0, tool_version="0.1.0",
)  # fmt: skip


def moved(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {
        name: value + 1 if value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }


def test_a_published_file_stays_one(camvid_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint, out = load_checkpoint(camvid_checkpoint), tmp_path / "adapted.pth"
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    before = torch.load(camvid_checkpoint, weights_only=True)
    after = torch.load(out, weights_only=True)
    assert list(after["state_dict"]) == list(before["state_dict"])  # conv_seg, too
    for name, value in before["state_dict"].items():
        own = after["state_dict"][name]
        assert (own.shape, own.dtype) == (value.shape, value.dtype)
        unused = "conv_seg" in name or not value.is_floating_point()
        assert torch.equal(own, value if unused else value + 1), name
    assert after["meta"]["CLASSES"] == list(before["meta"]["CLASSES"])
    loaded = load_checkpoint(out)
    assert loaded.adapted == RECORD
    assert loaded.classes == checkpoint.classes


def test_safetensors_stay_half_and_keep_their_metadata(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "adapted.safetensors"
    save_adapted(small_checkpoint, moved(small_checkpoint), RECORD, out)
    assert load_checkpoint(out).adapted == RECORD
    assert load_checkpoint(out).classes == small_checkpoint.classes
    before, after = load_file(small_checkpoint.path), load_file(out)
    assert {k: (v.dtype, v.shape) for k, v in before.items()} == {
        k: (v.dtype, v.shape) for k, v in after.items()
    }


def test_a_hugging_face_folder_stays_one(segformer_folder: Path, tmp_path: Path) -> None:
    checkpoint, out = load_checkpoint(segformer_folder), tmp_path / "adapted"
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    before, after = (load_file(at / "model.safetensors") for at in (segformer_folder, out))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value + 1) or not value.is_floating_point()
               for name, value in before.items())  # fmt: skip
    config = json.loads((out / "config.json").read_text())
    assert config.pop(ADAPTED)["steps"] == 30
    assert config == json.loads((segformer_folder / "config.json").read_text())
    loaded = load_checkpoint(out)
    assert (loaded.adapted, loaded.normalisation) == (RECORD, checkpoint.normalisation)


def test_channels_lie_again_as_the_source_has_them(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    blue_first = load_checkpoint(small_checkpoint.path, Given(bgr=True))
    save_adapted(blue_first, blue_first.state, RECORD, tmp_path / "a.safetensors")
    before, after = load_file(small_checkpoint.path), load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_another_format_a_source_and_a_folder_that_is_there_are_refused(
    small_checkpoint: Checkpoint, segformer_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"is safetensors; name .*a\.safetensors with -o"):
        check_output(small_checkpoint, tmp_path / "a.pth")
    with pytest.raises(InputError):
        check_output(small_checkpoint, small_checkpoint.path)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError):
        check_output(load_checkpoint(segformer_folder), tmp_path / "there")


@pytest.mark.parametrize("change", [
    {"steps": "many"}, {"source": "../model.pth"}, {"isr": []}, {"source_sha256": "z" * 64},
    {"more": 1},
])  # fmt: skip
def test_a_record_that_is_none_is_left_out_with_a_note(change: dict[str, object]) -> None:
    notes: list[str] = []
    assert read_adapted(RECORD.model_dump() | change, notes) is None
    assert notes == ["its record of an adaptation is left out: it is not as edaformer-adapt writes"]


def test_another_isr_than_it_was_adapted_for_is_a_warning() -> None:
    assert RECORD.other_than("16,8,4,1-1,2,4") is None
    assert "may do worse than model.pth" in str(RECORD.other_than("8,4,2,1-1,2,4"))
    two = replace_isr(("a", "b"))
    assert two.text == "a; b (from model.pth, 30 steps on 9 unlabelled frames)"


def replace_isr(isr: tuple[str, ...]) -> Adapted:
    return RECORD.model_copy(update={"isr": isr})
