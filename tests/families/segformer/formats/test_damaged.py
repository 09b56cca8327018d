"""Two hundred damaged files a format: each is refused in words, and nothing in one is run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from edaformer.errors import InputError
from edaformer.families.table import load_checkpoint
from tests.families.segformer.formats.projects import HEADS_TOLD, save, smallest_states

FILES = 200
FORMATS = ("nvlabs", "mmseg", "smp")
State = dict[str, Any]


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Tensor]]:
    return smallest_states()


class Calling:
    """Makes a file where its pickle is loaded by calling what it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def _dropped(dice: Random, state: State, key: str, ran: Path) -> None:
    del dice, ran
    del state[key]


def _renamed(dice: Random, state: State, key: str, ran: Path) -> None:
    del ran
    at = dice.randrange(len(key))
    state[key[:at] + dice.choice("xyz.\0é") + key[at:]] = state.pop(key)


def _reshaped(dice: Random, state: State, key: str, ran: Path) -> None:
    del ran
    old: Tensor = state[key]
    ways = [old[:-1], torch.cat([old, old]), old[None], old.flatten()[:0], old.sum()]
    state[key] = dice.choice(ways).contiguous()


def _not_finite(dice: Random, state: State, key: str, ran: Path) -> None:
    del ran
    state[key] = state[key].clone()
    state[key].view(-1)[0] = dice.choice([torch.nan, torch.inf, -torch.inf])


def _of_another_type(dice: Random, state: State, key: str, ran: Path) -> None:
    del ran
    kinds = (torch.int32, torch.int8, torch.bool, torch.complex64)
    state[key] = state[key].to(dice.choice(kinds))


def _no_tensor(dice: Random, state: State, key: str, ran: Path) -> None:
    del ran
    state[key] = dice.choice([None, 3, "text", state[key].tolist(), {"a": state[key]}, b"x"])


def _calling(dice: Random, state: State, key: str, ran: Path) -> None:
    state[key if dice.random() < 0.5 else "meta"] = Calling(ran)


WAYS = (_dropped, _renamed, _reshaped, _not_finite, _of_another_type, _no_tensor, _calling)


@pytest.mark.parametrize("name", FORMATS)
def test_the_sound_file_is_read(
    name: str, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    loaded = load_checkpoint(save(tmp_path / "x.pth", states[name], meta=HEADS_TOLD))
    assert loaded.variant.widths == (8, 8, 16, 16)  # type: ignore[attr-defined]
    assert loaded.variant.heads == (1, 1, 2, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FORMATS)
def test_every_damaged_one_is_refused_in_words(
    name: str, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    used = [key for key in states[name] if "num_batches" not in key and
            (name != "nvlabs" or "conv_seg" not in key)]  # fmt: skip
    ran, path = tmp_path / "ran", tmp_path / "x.pth"
    for number in range(FILES):
        dice, state = Random(f"{name} {number}"), dict(states[name])
        way = WAYS[number % len(WAYS)]
        way(dice, state, dice.choice(used), ran)
        save(path, state, meta=HEADS_TOLD)
        if number % 20 == 19:  # a few are cut short as well
            path.write_bytes(path.read_bytes()[: dice.randrange(path.stat().st_size)])
        with pytest.raises(InputError) as refused:
            load_checkpoint(path)
        assert str(refused.value).isprintable(), (number, way)
        assert "x.pth" in str(refused.value), (number, way)
        assert not ran.exists(), (number, way)
