from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from edaformer.export.rewrites import REWRITES, apply_rewrites
from edaformer.export.rewrites.fold_batchnorm import fold_batchnorm
from edaformer.export.rewrites.scale_query import ScaledQueryAttention
from edaformer.model import EDAFormer
from edaformer.model.attention import SharedKeyValueAttention
from edaformer.model.decoder import Fuse
from tests.tiny import TINY, tiny_model

TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def relative_error(made: torch.Tensor, expected: torch.Tensor) -> float:
    return float((made - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("dtype", "bound"), TOLERANCES)
def test_scaled_query_alone(dtype: torch.dtype, bound: float) -> None:
    q, kv = torch.randn(2, 3, 50, 8, dtype=dtype), torch.randn(2, 3, 7, 8, dtype=dtype)
    assert relative_error(ScaledQueryAttention()(q, kv), SharedKeyValueAttention()(q, kv)) < bound


@pytest.mark.parametrize(("dtype", "bound"), TOLERANCES)
def test_folded_batchnorm_alone(dtype: torch.dtype, bound: float) -> None:
    model = tiny_model().to(dtype)
    fuse = copy.deepcopy(model.decoder.fuse)
    assert fold_batchnorm(model) == 1
    assert isinstance(model.decoder.fuse.norm, nn.Identity)
    c4, c3, c2 = (
        torch.randn(1, TINY.widths[i], n, n, dtype=dtype) for i, n in ((3, 2), (2, 4), (1, 8))
    )
    assert relative_error(model.decoder.fuse(c4, c3, c2), fuse(c4, c3, c2)) < bound


@pytest.mark.parametrize(("dtype", "bound"), TOLERANCES)
@pytest.mark.parametrize("names", [[name] for name in REWRITES] + [list(REWRITES)])
def test_the_whole_model_computes_the_same(
    names: list[str], dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model().to(dtype)
    chosen: dict[str, Callable[[EDAFormer], int]] = {name: REWRITES[name] for name in names}
    monkeypatch.setattr("edaformer.export.rewrites.REWRITES", chosen)
    rewritten, applied = apply_rewrites(model)
    assert applied == tuple(names)
    image = torch.randn(2, 3, 128, 128, dtype=dtype)
    assert relative_error(rewritten(image), model(image)) < bound


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_model()
    rewritten, _ = apply_rewrites(model)
    kinds = [type(module) for module in model.modules()]
    assert ScaledQueryAttention not in kinds
    assert nn.BatchNorm2d in kinds
    assert ScaledQueryAttention in [type(module) for module in rewritten.modules()]


def test_nothing_to_do_is_not_listed() -> None:
    rewritten, _ = apply_rewrites(tiny_model())
    _, applied = apply_rewrites(rewritten)
    assert applied == ()
    assert isinstance(rewritten.decoder.fuse, Fuse)
