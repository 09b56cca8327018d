"""Every decoder's steps, against PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from edaformer.families.convolutional import upernet_network
from edaformer.families.convolutional.network import ConvolutionalNetwork
from edaformer.families.convolutional.sizes import NETWORKS, ConvolutionalSizes
from edaformer.families.convolutional.table import USUAL
from edaformer.families.table import count
from tests.families.deployed import check_layers

SMALL = [
    NETWORKS[f"{decoder.kind}-{encoder}"]
    for decoder in USUAL
    for encoder in ("mit-b0", "pvt-v2-b0")
]


@pytest.fixture(autouse=True)
def uncounted_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its products are no multiply-adds of a network's, where everybody else pools."""
    monkeypatch.setattr(upernet_network, "pool", functional.adaptive_avg_pool2d)


@pytest.fixture(params=SMALL, ids=lambda sizes: sizes.name)
def sizes(request: pytest.FixtureRequest) -> ConvolutionalSizes:
    return request.param  # type: ignore[no-any-return]


def _model(sizes: ConvolutionalSizes, factor: int) -> ConvolutionalNetwork:
    isr = sizes.places.isr(tuple(factor * place.base for place in sizes.places.all))
    with torch.device("meta"):
        return ConvolutionalNetwork(sizes, 7, isr).eval()


@pytest.mark.parametrize("size", [(128, 160), (288, 224)])
@pytest.mark.parametrize("factor", [1, 2])
def test_the_cost_is_what_pytorch_counts(
    sizes: ConvolutionalSizes, factor: int, size: tuple[int, int]
) -> None:
    model = _model(sizes, factor)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, 3, *size, device="meta"))
    counted = count(sizes, 7, size, model.isr)
    assert 2 * counted.macs == counter.get_total_flops()
    assert counted.params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("factor", [1, 2])
def test_layers_are_those_of_the_rewritten_network(sizes: ConvolutionalSizes, factor: int) -> None:
    check_layers(_model(sizes, factor), (192, 256))
