from __future__ import annotations

import numpy as np
import pytest
import torch

from edaformer.families.fuse import upsample
from edaformer.labels import upsample_argmax as module
from edaformer.labels.geometry import Geometry, labels_from_logits
from edaformer.labels.upsample_argmax import upsample_argmax
from tests.draws import LOGITS, random_geometry, random_logits

TIE = 1e-5  # top-2 margin under which float32 may decide either way


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", LOGITS)
def test_bit_for_bit_the_definition(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out can never have won, in bands of any height."""
    rng = np.random.default_rng(seed)
    geometry, size = random_geometry(rng)
    classes = int(rng.choice([1, 2, 19, 65, 256]))
    logits = random_logits(rng, kind, (1, classes, *size))[0]
    monkeypatch.setattr(module, "_BAND", int(rng.integers(1, 4)) * classes * size[1])
    made = upsample_argmax(logits, geometry)
    assert (made.dtype, made.shape) == (np.uint8, geometry.source)
    np.testing.assert_array_equal(made, labels_from_logits(logits, geometry)[0])


@pytest.mark.parametrize("seed", range(40))
def test_equals_torch_up_to_ties(seed: int) -> None:
    """Where no frame is resized it is interpolate, crop and argmax; noise is the worst case."""
    rng = np.random.default_rng(seed)
    classes, height, width = (int(n) for n in rng.integers((2, 1, 1), (40, 20, 20)))
    padded = (8 * height, 8 * width)
    valid = (padded[0] - int(rng.integers(8)), padded[1] - int(rng.integers(8)))
    logits = rng.standard_normal((classes, height, width)).astype(np.float32)
    resized = upsample(torch.from_numpy(logits)[None], padded)[0, :, : valid[0], : valid[1]]
    best = resized.topk(2, dim=0).values
    made = upsample_argmax(logits, Geometry(valid, valid, padded))
    decided = (best[0] - best[1]).numpy() >= TIE
    assert (made == resized.argmax(0).numpy())[decided].all()
    assert decided.mean() > 0.99


@pytest.mark.parametrize("valid", [(64, 96), (60, 90)])
def test_logits_as_large_as_the_image_are_not_resized(valid: tuple[int, int]) -> None:
    logits = np.random.default_rng(0).standard_normal((7, 64, 96)).astype(np.float32)
    made = upsample_argmax(logits, Geometry(valid, valid, (64, 96)))
    np.testing.assert_array_equal(made, logits.argmax(0)[: valid[0], : valid[1]])


def test_a_class_that_wins_at_no_corner_can_win_between_them() -> None:
    logits = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.9, 0.9]]], np.float32)
    assert 2 in upsample_argmax(logits, Geometry((1, 16), (1, 16), (8, 16)))


def test_interpolates_only_what_is_contested(monkeypatch: pytest.MonkeyPatch) -> None:
    """One class far above the others: no pixel is interpolated."""
    monkeypatch.setattr(module._Contest, "of", lambda *_: pytest.fail("interpolated"))
    logits = np.random.default_rng(0).standard_normal((150, 8, 12)).astype(np.float32)
    logits[7] += 20
    assert (upsample_argmax(logits, Geometry((64, 96), (64, 96), (64, 96))) == 7).all()
