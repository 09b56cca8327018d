"""Counts, layers and names of the decoders that segmentation_models_pytorch alone has."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import TypeAdapter
from torch.utils.flop_counter import FlopCounterMode

from edaformer.errors import InputError
from edaformer.families.convolutional.network import ConvolutionalNetwork
from edaformer.families.convolutional.sizes import NETWORKS, ConvolutionalSizes
from edaformer.families.convolutional.unet import Unet
from edaformer.families.table import count
from edaformer.isr import ISR
from tests.families.convolutional.smp_networks import DEEPLAB, UNET, UPERNET
from tests.families.deployed import check_layers

B0, PVT = NETWORKS["unet-mit-b0"], NETWORKS["unet-pvt-v2-b0"]
LAB = NETWORKS["deeplabv3plus-mit-b0"]


def _model(sizes: ConvolutionalSizes, factor: int) -> tuple[ConvolutionalNetwork, ISR]:
    isr = sizes.places.isr(tuple(factor * ratio for ratio in sizes.ratios))
    with torch.device("meta"):
        return ConvolutionalNetwork(sizes, 7, isr).eval(), isr


@pytest.mark.parametrize("size", [(128, 160), (64, 224)])
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("sizes", [B0, PVT, UNET, LAB, DEEPLAB])
def test_the_cost_is_what_pytorch_counts(
    sizes: ConvolutionalSizes, factor: int, size: tuple[int, int]
) -> None:
    model, isr = _model(sizes, factor)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, 3, *size, device="meta"))
    counted = count(sizes, 7, size, isr)
    assert 2 * counted.macs == counter.get_total_flops()
    assert counted.params == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("sizes", [B0, PVT, UNET, LAB, DEEPLAB])
def test_layers_are_those_of_the_rewritten_network(sizes: ConvolutionalSizes, factor: int) -> None:
    check_layers(_model(sizes, factor)[0], (192, 256))


def test_names_and_sizes() -> None:
    assert (B0.name, B0.title, B0.logits_stride) == ("unet-mit-b0", "Unet-MiT-B0", 1)
    assert PVT.title == "Unet-PVTv2-B0"
    assert (LAB.name, LAB.title) == ("deeplabv3plus-mit-b0", "DeepLabV3+-MiT-B0")
    assert (UNET.name, UNET.title) == ("unet", "Unet")
    assert B0.decoder.body(B0.widths).levels[0].first.conv.in_channels == 256 + 160
    with pytest.raises(InputError, match="expected a Unet's sizes between 1 and 65536"):
        replace(B0, decoder=Unet((256, 128, 64, 32, 0)))


@pytest.mark.parametrize("sizes", [UNET, UPERNET, DEEPLAB])
def test_a_manifest_tells_decoders_apart(sizes: ConvolutionalSizes) -> None:
    records = TypeAdapter(ConvolutionalSizes)
    assert records.validate_json(records.dump_json(sizes)) == sizes
