"""An adapted checkpoint has its source's names, shapes and types, whichever project's it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edaformer.errors import InputError
from edaformer.families.adapted_weights import check_output
from edaformer.families.given import Given, given
from edaformer.families.table import load_checkpoint, save_adapted
from tests.families.segformer.formats.projects import HEADS_TOLD, save, smallest_states
from tests.families.smp import ENCODERS, smp, smp_model
from tests.families.test_adapted import RECORD, moved


@pytest.mark.parametrize("name", ["nvlabs", "mmseg", "smp"])
@pytest.mark.parametrize("bgr", [False, True])
def test_a_file_stays_its_project_s(name: str, bgr: bool, tmp_path: Path) -> None:
    state = smallest_states()[name]
    wrapped = {f"module.{key}": value for key, value in state.items()}
    source, out = save(tmp_path / "x.pth", wrapped, meta=HEADS_TOLD), tmp_path / "adapted.pth"
    checkpoint = load_checkpoint(source, given(bgr=bgr))
    check_output(checkpoint, out)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    after = torch.load(out, weights_only=True)
    assert list(after["state_dict"]) == list(state)
    for key, value in state.items():
        own = after["state_dict"][key]
        kept = not value.is_floating_point() or (name == "nvlabs" and "conv_seg" in key)
        assert torch.equal(own, value if kept else value + 1), key
        assert own.dtype == value.dtype
    assert after["meta"]["config"] == HEADS_TOLD["config"]
    loaded = load_checkpoint(out)
    assert loaded.adapted == RECORD
    assert (loaded.variant, loaded.classes) == (checkpoint.variant, checkpoint.classes)
    with pytest.raises(InputError, match=r"is a PyTorch file; name .*x\.pth with -o"):
        check_output(checkpoint, tmp_path / "y" / "x.safetensors")


def test_safetensors_of_a_project_stay_half(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in smallest_states()["smp"].items()
             if value.is_floating_point()}  # fmt: skip
    save_file(state, tmp_path / "x.safetensors")
    checkpoint = load_checkpoint(tmp_path / "x.safetensors", Given(heads=(1, 1, 2, 2)))
    out = tmp_path / "y.safetensors"
    save_adapted(checkpoint, checkpoint.state, RECORD, out)
    after = load_file(out)
    assert after.keys() == state.keys()
    assert all(torch.equal(after[key], value) for key, value in state.items())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_folder_of_smp_is_one_that_smp_loads(encoder: str, tmp_path: Path) -> None:
    smp_model(encoder=encoder).save_pretrained(tmp_path / "x")
    checkpoint, out = load_checkpoint(tmp_path / "x"), tmp_path / "y"
    check_output(checkpoint, out)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    loaded = load_checkpoint(out)
    assert (loaded.adapted, loaded.variant) == (RECORD, checkpoint.variant)
    theirs, before = (
        smp().from_pretrained(out).state_dict(),
        smp_model(encoder=encoder).state_dict(),
    )
    assert theirs.keys() == before.keys()
    assert all(torch.equal(theirs[key], value + 1 if value.is_floating_point() else value)
               for key, value in before.items())  # fmt: skip
