"""Each project's files compute what that project's network computes, at base and with ISR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from edaformer.families.checkpoint import Checkpoint
from edaformer.families.given import Given
from edaformer.families.table import load_checkpoint
from tests.families.segformer.formats.projects import (
    as_nvlabs_computes,
    mmseg_model,
    nvlabs_state,
    save,
)
from tests.families.segformer.hugging import hugging_model
from tests.families.segformer.pooled import pool
from tests.families.smp import ENCODERS, pool_smp, smp_model

HEADS = Given(heads=(1, 2, 5, 2))
FACTORS = [(1, 1, 1, 1), (2, 2, 2, 2), (4, 3, 2, 1)]
SIZES = [(128, 160), (131, 218)]


def apart(checkpoint: Checkpoint, factors: tuple[int, ...], reference: Any, size: Any) -> float:
    """The largest difference of logits on noise, float32."""
    places = checkpoint.places
    ratios = tuple(p.base * f for p, f in zip(places.all, factors, strict=True))
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        made, expected = checkpoint.model(places.isr(ratios))(image), reference(image)
    assert made.shape == expected.shape
    assert float(expected.abs().max()) > 0.1
    return float((made - expected).abs().max())


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", [{}, {"sr_ratios": [4, 1, 1, 2], "mlp_ratios": [1, 3, 2, 1]}])
def test_nvlabs(
    config: dict[str, Any], size: tuple[int, int], factors: tuple[int, ...], tmp_path: Path
) -> None:
    hugging = as_nvlabs_computes(hugging_model(**config))
    loaded = load_checkpoint(save(tmp_path / "x.pth", nvlabs_state(hugging)), HEADS)
    assert loaded.coverage.left_over == ("decode_head.conv_seg.bias", "decode_head.conv_seg.weight")
    pool(hugging, factors)
    assert apart(loaded, factors, lambda image: hugging(image).logits, size) <= 1e-4


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("size", SIZES)
def test_mmsegmentation(size: tuple[int, int], factors: tuple[int, ...], tmp_path: Path) -> None:
    model = mmseg_model()
    path = save(tmp_path / "x.pth", model.state_dict())
    loaded = load_checkpoint(path, Given(heads=(1, 2, 5, 4)))
    assert loaded.coverage.used == len(model.state_dict())
    model.pool(factors)
    assert apart(loaded, factors, model, size) <= 1e-4


@pytest.mark.parametrize("factors", FACTORS)
def test_mmsegmentation_corner_to_corner(factors: tuple[int, ...], tmp_path: Path) -> None:
    """Its decoder's maps and then its logits, which it resizes to the image likewise."""
    model = mmseg_model(align_corners=True, depths=(2, 1, 1, 1), ratios=(4, 2, 1, 1))
    path = save(tmp_path / "x.pth", model.state_dict())
    loaded = load_checkpoint(path, Given(heads=(1, 2, 5, 4), align_corners="all"))
    model.pool(factors)

    def whole(image: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(
            model(image), size=image.shape[2:], mode="bilinear", align_corners=True
        )

    assert loaded.variant.logits_stride == 1
    assert apart(loaded, factors, whole, (128, 160)) <= 1e-4


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_segmentation_models_pytorch(
    encoder: str, factors: tuple[int, ...], tmp_path: Path
) -> None:
    size = (128, 160)  # it takes no other than multiples of 32
    model = smp_model(encoder=encoder)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    loaded = load_checkpoint(tmp_path / "x.pth")
    assert loaded.coverage.used == len(model.state_dict())
    pool_smp(model, factors, size)
    assert apart(loaded, factors, model, size) <= 1e-4
