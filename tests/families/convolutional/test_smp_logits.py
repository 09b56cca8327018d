"""segmentation_models_pytorch's own classes, at base and with ISR by pooling inside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edaformer.families.table import count, load_checkpoint
from tests.families.convolutional.smp_networks import save
from tests.families.segformer.formats.test_logits import FACTORS, apart
from tests.families.smp import ENCODERS, pool_smp, smp_model

SIZE = (160, 224)  # UPerNet takes multiples of 32 alone; c4 has odd sides


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Unet", {}),
        ("Unet", {"decoder_channels": (48, 40, 32, 24, 8), "aux_params": {"classes": 3}}),
        ("UPerNet", {"decoder_channels": 48}),
    ],
)
def test_logits(kind: str, changes: dict[str, object], encoder: str, tmp_path: Path) -> None:
    """Whatever the decoder's widths."""
    model = smp_model(kind=kind, encoder=encoder, **changes)
    loaded = load_checkpoint(save(tmp_path / "x.pth", model.state_dict()))
    assert loaded.format == f"segmentation_models_pytorch's {kind}"
    assert loaded.variant.logits_stride == 1
    unused = [name for name in model.state_dict() if name.startswith("classification_head.")]
    assert sorted(loaded.coverage.left_over) == sorted(unused)
    for factors in FACTORS:
        model = smp_model(kind=kind, encoder=encoder, **{**changes, "aux_params": None})
        pool_smp(model, factors, SIZE)
        assert apart(loaded, factors, model, SIZE) <= 1e-4


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("changes", [{}, {"decoder_channels": 40}])
def test_logits_of_a_dilated_encoder(
    changes: dict[str, object], factors: tuple[int, ...], tmp_path: Path
) -> None:
    model = smp_model(kind="DeepLabV3Plus", **changes)
    loaded = load_checkpoint(save(tmp_path / "x.pth", model.state_dict()))
    assert [place.stride for place in loaded.places.all] == [4, 8, 16, 16]
    pool_smp(model, factors, (128, 224))
    assert apart(loaded, factors, model, (128, 224)) <= 1e-4


def test_another_encoder_cannot_be_dilated() -> None:
    """Of these its DeepLabV3Plus is over MiT alone."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'output_stride'"):
        smp_model(kind="DeepLabV3Plus", encoder="tu-pvt_v2_b0")


@pytest.mark.parametrize("kind", ["Unet", "UPerNet", "DeepLabV3Plus"])
def test_the_cost_is_what_pytorch_counts_of_their_network(kind: str, tmp_path: Path) -> None:
    """Theirs pools for the pyramid without multiplying, as the cost has it."""
    model = smp_model(kind=kind)
    loaded = load_checkpoint(save(tmp_path / "x.pth", model.state_dict()))
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, 3, *SIZE))
    counted = count(loaded.variant, 5, SIZE)
    assert 2 * counted.macs == counter.get_total_flops()
    assert counted.params == sum(value.numel() for value in model.parameters())
