"""A notebook's settings change neither the reference nor an export, and are put back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.settings import reference_settings


@pytest.fixture
def notebook() -> Iterator[None]:
    torch.set_default_dtype(torch.float16)
    torch.set_float32_matmul_precision("medium")
    torch.set_default_device("meta")
    with torch.autocast("cpu", torch.bfloat16):
        yield
    torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.set_default_dtype(torch.float32)


def test_the_reference_is_float32(
    tiny_checkpoint: Checkpoint, request: pytest.FixtureRequest
) -> None:
    image = natural_noise(1, (64, 96))
    expected = TorchSegmenter(tiny_checkpoint.model(), 32).logits(image)
    request.getfixturevalue("notebook")
    state = torch.random.get_rng_state()
    made = TorchSegmenter(tiny_checkpoint.model(), 32).logits(image)
    assert made.dtype == np.float32
    assert (made == expected).all()
    assert torch.get_default_dtype() == torch.float16
    assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_default_device().type == "meta"
    assert torch.is_autocast_enabled("cpu")
    assert (torch.random.get_rng_state() == state).all()


def test_settings_are_put_back_where_it_fails(notebook: None) -> None:
    with pytest.raises(ValueError, match="x"), reference_settings():
        raise ValueError("x")
    assert torch.get_default_dtype() == torch.float16
