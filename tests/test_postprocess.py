from __future__ import annotations

import numpy as np
import pytest
import torch

from edaformer.model.decoder import upsample
from edaformer.postprocess import labels_from_logits

TIE = 1e-5  # top-2 margin under which float32 may decide either way


def by_torch(logits: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    resized = upsample(torch.from_numpy(logits), size)
    best = resized.topk(min(2, logits.shape[1]), dim=1).values
    return resized.argmax(1).numpy().astype(np.uint8), (best[:, 0] - best[:, -1]).numpy()


@pytest.mark.parametrize("seed", range(40))
def test_equals_torch_up_to_ties(seed: int) -> None:
    """Random sizes, up and down, one pixel and one class included; noise is the worst case."""
    draw = np.random.default_rng(seed)
    classes, height, width = draw.integers(1, (40, 20, 20))
    size = (int(draw.integers(1, 120)), int(draw.integers(1, 120)))
    logits = draw.standard_normal((2, classes, height, width)).astype(np.float32)
    expected, margin = by_torch(logits, size)
    made = labels_from_logits(logits, size)
    assert (made.dtype, made.shape) == (np.uint8, (2, *size))
    decided = margin >= TIE if classes > 1 else np.ones_like(expected, bool)
    assert (made == expected)[decided].all()


def test_smooth_maps_and_the_crop() -> None:
    draw = np.random.default_rng(0)
    logits = upsample(torch.from_numpy(draw.standard_normal((1, 9, 4, 5)).astype(np.float32)),
                      (24, 30)).numpy()  # fmt: skip
    expected, margin = by_torch(logits, (192, 240))
    made = labels_from_logits(logits, (192, 240), (180, 233))
    assert made.shape == (1, 180, 233)
    decided = margin[:, :180, :233] >= TIE
    assert (made == expected[:, :180, :233])[decided].all()


def test_ties_go_to_the_first_class() -> None:
    assert (labels_from_logits(np.zeros((1, 3, 2, 2), np.float32), (16, 16)) == 0).all()


def test_a_class_that_wins_at_no_corner_can_win_between_them() -> None:
    logits = np.array([[[[1.0, 0.0]], [[0.0, 1.0]], [[0.9, 0.9]]]], np.float32)
    assert 2 in labels_from_logits(logits, (1, 16))
