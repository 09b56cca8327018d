"""The release's files: read strictly, refused by name, written back under the same names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edaformer.errors import CheckpointError, InputError
from edaformer.families.adapted_weights import check_output
from edaformer.families.feedformer.sizes import FeedFormerSizes
from edaformer.families.given import Given, given
from edaformer.families.table import (
    FAMILIES,
    load_checkpoint,
    owner,
    save_adapted,
)
from tests.families.feedformer.published import save, tiny_state
from tests.families.test_adapted import RECORD, moved
from tests.tiny import FEEDFORMER, FEEDFORMER_CITY, tiny_feedformer

HEADS = Given(heads=(1, 2, 5, 8))
State = dict[str, Tensor]


@pytest.mark.parametrize("sizes", [FEEDFORMER, FEEDFORMER_CITY])
def test_a_file_is_its_network(sizes: FeedFormerSizes, tmp_path: Path) -> None:
    made = load_checkpoint(save(tmp_path / "x.pth", tiny_state(sizes)), HEADS)
    assert (made.variant, made.num_classes) == (sizes, 5)
    assert made.coverage.left_over == ("decode_head.conv_seg.bias", "decode_head.conv_seg.weight")
    assert made.options == ("--heads", "1,2,5,8")
    expected = tiny_feedformer(sizes).state_dict()
    assert made.state.keys() == {n for n in expected if not n.endswith("num_batches_tracked")} | {
        "decoder.fuse.norm.num_batches_tracked"
    }
    assert all(torch.equal(made.state[name], expected[name]) for name in made.state)


def test_keys_alone_tell_whose_it_is(tmp_path: Path) -> None:
    feed = save(tmp_path / "a.pth", tiny_state())
    bare = {name: value for name, value in tiny_state().items() if "attn_c" not in name}
    branch = {"decode_head.linear_c1.proj.weight": torch.zeros(24, 16)}
    seg = save(tmp_path / "b.pth", {**bare, **branch})
    assert owner(feed) is FAMILIES["feedformer"]
    assert owner(seg) is FAMILIES["segformer"]
    assert [FAMILIES["feedformer"].owns(path) for path in (feed, seg)] == [True, False]


def _without(key: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name != key}


def _with(key: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, key: value}


KV, SR = "decode_head.attn_c4_c1.attn.kv.weight", "decode_head.attn_c2_c1.attn.sr.weight"
WRONG: list[tuple[Callable[[State], State], str]] = [
    (_without(KV), rf"1 missing \({KV}\)"),
    (_without(SR), rf"1 missing \({SR}\)"),
    (_with(KV, torch.zeros(128, 15)), r"\(128, 15\) instead of \(128, 16\)"),
    (_with(KV, torch.full((128, 16), torch.nan)), "1 not finite"),
    (_with("decode_head.attn_c4_c1.attn.sr1.weight", torch.zeros(64, 64, 1, 1)), "missing"),
    (_with("decode_head.linear_c1.proj.weight", torch.zeros(24, 16)), "1 unknown"),
    (_with("ema_decode_head_attn_c4_c1_attn_q_weight", torch.zeros(1)), "two sets of weights"),
    (lambda s: {n.replace("backbone.block", "backbone.stage"): v for n, v in s.items()},
     "FeedFormer's decoder over an encoder that is no MiT"),
    (lambda s: {n: v for n, v in s.items() if n.startswith("decode_head")},
     "FeedFormer's decoder over an encoder that is no MiT"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_refused_by_name(change: Callable[[State], State], words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(save(tmp_path / "x.pth", change(tiny_state())), HEADS)


def test_heads_are_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", tiny_state())
    with pytest.raises(InputError, match=r"how many heads attention has .* such as --heads"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="FeedFormer says how it resizes; leave it out"):
        load_checkpoint(path, given(heads="1,2,5,8", align_corners="all"))


@pytest.mark.parametrize(("aligned", "refused"), [(False, False), (True, True)])
def test_what_its_configuration_says(aligned: bool, refused: bool, tmp_path: Path) -> None:
    model = (
        "model = dict(backbone=dict(type='mit_b0', num_heads=[1, 2, 5, 8]), "
        f"decode_head=dict(type='FeedFormerHead', align_corners={aligned}))"
    )
    path = save(tmp_path / "x.pth", tiny_state(), model)
    if refused:
        with pytest.raises(CheckpointError, match="trained with align_corners=True"):
            load_checkpoint(path)
    else:
        made = load_checkpoint(path)
        assert made.assumed == (("heads", "1,2,5,8 (the configuration in meta)"),)


@pytest.mark.parametrize("sizes", [FEEDFORMER, FEEDFORMER_CITY])
def test_an_adapted_file_has_the_published_names(sizes: FeedFormerSizes, tmp_path: Path) -> None:
    state = tiny_state(sizes)
    checkpoint = load_checkpoint(save(tmp_path / "x.pth", state), HEADS)
    out = tmp_path / "adapted.pth"
    check_output(checkpoint, out)
    save_adapted(checkpoint, moved(checkpoint), RECORD, out)
    after = torch.load(out, weights_only=True)["state_dict"]
    assert list(after) == list(state)
    for key, value in state.items():
        kept = not value.is_floating_point() or "conv_seg" in key
        assert torch.equal(after[key], value if kept else value + 1), key
    assert load_checkpoint(out, HEADS).adapted == RECORD
