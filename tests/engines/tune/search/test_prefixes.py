from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from edaformer.engines.tune.search.prefixes import Prefixes
from edaformer.engines.tune.search.space import every_setting
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from tests.engines.tune.conftest import SIZE


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    made = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    return np.asarray(made.numpy(), np.float32)


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_logits_are_the_whole_model_s_to_the_bit(
    order: str, tiny_checkpoint: Checkpoint, pixels: np.ndarray
) -> None:
    settings = list(every_setting(SIZE))
    if order == "shuffled":
        random.Random(0).shuffle(settings)
    shared = Prefixes(tiny_checkpoint.model(), pixels)
    whole = tiny_checkpoint.model()
    for isr in settings:
        whole.set_isr(isr)
        with torch.inference_mode():
            expected = whole(torch.from_numpy(pixels)).numpy()[0]
        assert np.array_equal(shared.logits(isr), expected), isr


def test_what_settings_share_is_computed_once_and_little_is_kept(
    tiny_checkpoint: Checkpoint, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_checkpoint.model()
    runs = [0] * len(model.parts)
    for place, part in enumerate(model.parts):
        part.register_forward_hook(lambda *_, at=place: runs.__setitem__(at, runs[at] + 1))
    shared = Prefixes(model, pixels)
    most = 0
    for isr in sorted(every_setting(SIZE), key=lambda one: one.ratios):
        shared.logits(isr)
        most = max(most, *(len(made) for made in shared._made))
    assert runs == [2, 4, 8, 16, 32, 16, 8]  # two ratios in each place and in those before it
    assert most == 2


def test_only_the_decoder_runs_for_a_decoder_s_change(
    tiny_checkpoint: Checkpoint, pixels: np.ndarray
) -> None:
    model = tiny_checkpoint.model()
    shared = Prefixes(model, pixels)
    shared.logits(ISR())
    model.encoder.stage1.register_forward_hook(lambda *_: pytest.fail("the encoder ran again"))
    shared.logits(ISR.parse("8,4,2,1-2,4,8"))
