from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edaformer.errors import ISRError
from edaformer.families.mit.network import ReducedAttention
from edaformer.families.segformer.names import Names
from edaformer.families.segformer.network import SegFormer
from edaformer.families.segformer.sizes import SEGFORMERS, SegFormerSizes
from edaformer.families.table import FAMILIES, count, load_checkpoint
from edaformer.isr import BASE, ISR
from tests.families.segformer.hugging import hugging_model, save_folder
from tests.families.segformer.pooled import pool
from tests.tiny import SEGFORMER

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "B0": {"hidden_sizes": [32, 64, 160, 256], "num_attention_heads": [1, 2, 5, 8],
           "depths": [2, 2, 2, 2], "mlp_ratios": [4, 4, 4, 4], "decoder_hidden_size": 256},
    "B2's depths, wide": {"depths": [3, 4, 6, 3], "hidden_sizes": [24, 48, 120, 192],
                          "num_attention_heads": [1, 2, 5, 8]},
    "reduced otherwise": {"sr_ratios": [4, 1, 1, 2], "mlp_ratios": [1, 3, 2, 1]},
    "patched otherwise": {"patch_sizes": [3, 5, 3, 1], "strides": [2, 2, 2, 1]},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("size", [(64, 64), (97, 130)])
def test_logits_are_those_of_transformers(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    config = CONFIGURATIONS[name]
    hugging = hugging_model(**config)
    hugging.save_pretrained(tmp_path)
    model = load_checkpoint(tmp_path).model()
    image = torch.randn(2, 3, *size)
    with torch.inference_mode():
        made, expected = model(image), hugging(image).logits
    assert made.shape == expected.shape
    assert float((made - expected).abs().max()) <= 1e-4


@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (2, 1, 2, 1), (2, 3, 4, 2), (4, 2, 2, 2)])
@pytest.mark.parametrize("ratios", [[8, 4, 2, 1], [4, 1, 1, 2]])
def test_isr_pools_the_reduced_map(factors: tuple[int, ...], ratios: list[int]) -> None:
    hugging = hugging_model(sr_ratios=ratios)
    sizes = SegFormerSizes(
        (16, 32, 80, 64),
        (1, 2, 1, 1),
        24,
        (1, 2, 5, 2),
        tuple(ratios),
        (2, 2, 2, 2),  # type: ignore[arg-type]
    )
    isr = sizes.places.isr(tuple(r * m for r, m in zip(ratios, factors, strict=True)))
    model = SegFormer(sizes, 5, isr).eval()
    ours = Names(sizes).ours
    model.load_state_dict({ours(name): v for name, v in hugging.state_dict().items()})
    pool(hugging, factors)
    image = torch.randn(1, 3, 150, 282)
    with torch.inference_mode():
        assert float((model(image) - hugging(image).logits).abs().max()) <= 1e-4


@pytest.mark.parametrize("size", [(128, 160), (131, 218)])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(
    "sizes",
    [
        SEGFORMERS["segformer-b0"],
        SegFormerSizes((16, 32, 80, 64), (1, 2, 1, 3), 24, ratios=(4, 1, 1, 2),
                       mlp_ratios=(1, 2, 3, 1), heads=(2, 1, 5, 2)),
        SegFormerSizes((16, 32, 48, 64), (2, 1, 1, 1), 40, heads=(1, 1, 1, 4), ratios=(4, 4, 2, 1),
                       patches=(3, 5, 3, 1), strides=(2, 2, 2, 1)),
        replace(SEGFORMER, head="convolutions", align_corners="logits"),
    ],
)  # fmt: skip
def test_the_cost_is_what_pytorch_counts(
    sizes: SegFormerSizes, factor: int, size: tuple[int, int]
) -> None:
    isr = sizes.places.isr(tuple(factor * ratio for ratio in sizes.ratios))
    model = SegFormer(sizes, 7, isr).eval()
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, 3, *size))
    counted = count(sizes, 7, size, isr)
    assert 2 * counted.macs == counter.get_total_flops()
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert [part.name for part in counted.parts][-1] == "fuse and classify"


@pytest.mark.parametrize(
    ("name", "side", "millions", "gmacs"),
    [
        ("segformer-b0", 512, 3.75, 8.4),
        ("segformer-b1", 512, 13.7, 15.9),
        ("segformer-b2", 512, 27.5, 62.4),
        ("segformer-b5", 640, 84.7, 183.3),
    ],
)
def test_the_paper_s_table(name: str, side: int, millions: float, gmacs: float) -> None:
    """ADE20K, 150 classes."""
    counted = count(SEGFORMERS[name], 150, (side, side))
    assert counted.params / 1e6 == pytest.approx(millions, rel=0.005)
    assert counted.gmacs == pytest.approx(gmacs, rel=0.005)


def test_isr_changes_ratios_and_no_weight() -> None:
    sizes = SEGFORMERS["segformer-b0"]
    model = FAMILIES["segformer"].network(sizes, 3, sizes.places.base)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    isr = ISR.parse("16,8,4,2", sizes.places)
    model.set_isr(isr)
    assert model.isr == isr
    ratios = [m.ratio for m in model.modules() if isinstance(m, ReducedAttention)]
    assert ratios == [16, 16, 8, 8, 4, 4, 2, 2]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_another_model_s_isr_is_refused(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save_folder(tmp_path))
    with pytest.raises(ISRError, match=r"expected an ISR of SegFormer, like 16,8,4,2 .* 8,4,2,1-1"):
        checkpoint.model(BASE)
