"""EDAFormer's decoder over encoders that are not its own: the paper's table 5, PVTv2 and MiT."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edaformer.families.convolutional.sizes import NETWORKS, ConvolutionalSizes
from edaformer.families.cost import PartCost, Size, map_of
from edaformer.families.edaformer.cost import count_decoder, decoder_params
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import Variant
from edaformer.families.mit.cost import count_encoder, encoder_params
from edaformer.families.mit.network import mit
from edaformer.isr import BASE, ISR

CITYSCAPES = ((1024, 2048), 19)
PAPER = ISR.parse("16,8,2,1-2,4,8")


class Composed(EDAFormer):
    """The decoder takes the maps as they come: no file of it has to know the encoder."""

    def __init__(self, encoder: ConvolutionalSizes, num_classes: int) -> None:
        super().__init__(_decoder(encoder), num_classes)
        self.encoder = mit(encoder, BASE.encoder)  # type: ignore[assignment]


def _encoder(name: str) -> ConvolutionalSizes:
    return NETWORKS[f"upernet-{name}"]


def _decoder(encoder: ConvolutionalSizes) -> Variant:
    """T's, on the encoder's widths."""
    return Variant("T", encoder.widths, encoder.depths, 4, decoder_mlp_ratio=2, fuse_width=128)


def _count(name: str, num_classes: int, size: Size, isr: ISR) -> list[PartCost]:
    encoder = _encoder(name)
    maps = [map_of(size, stride) for stride in (32, 16, 8)]
    decoder = count_decoder(_decoder(encoder), num_classes, maps, isr.decoder)
    return [*count_encoder(encoder, size, isr.encoder), *decoder]


@pytest.mark.parametrize(
    ("name", "millions", "gmacs", "saved", "within"),
    [
        ("mit-b0", 4.93, 117.2, 0.497, 0.002),
        ("pvt-v2-b0", 5.02, 121.9, 0.479, 0.001),
    ],
)
def test_the_paper_s_table_5(
    name: str, millions: float, gmacs: float, saved: float, within: float
) -> None:
    """The paper saves 49.7 % and 47.9 %, at ratios that it does not print; these are they."""
    size, classes = CITYSCAPES
    encoder = _encoder(name)
    params = encoder_params(encoder) + decoder_params(_decoder(encoder), classes)
    assert params / 1e6 == pytest.approx(millions, abs=0.005)
    base, reduced = (sum(part.macs for part in _count(name, classes, size, isr))
                     for isr in (BASE, PAPER))  # fmt: skip
    assert base / 1e9 == pytest.approx(gmacs, abs=0.05)
    assert 1 - reduced / base == pytest.approx(saved, abs=within)


@pytest.mark.parametrize("isr", [BASE, PAPER], ids=str)
@pytest.mark.parametrize("name", ["mit-b0", "pvt-v2-b0"])
def test_the_pair_is_a_network(name: str, isr: ISR) -> None:
    with torch.device("meta"):
        model = Composed(_encoder(name), 19).eval()
    model.set_isr(isr)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        logits = model(torch.zeros(1, 3, 128, 256, device="meta"))
    assert logits.shape == (1, 19, 16, 32)
    assert counter.get_total_flops() == 2 * sum(
        part.macs for part in _count(name, 19, (128, 256), isr)
    )
    assert sum(p.numel() for p in model.parameters()) == (
        encoder_params(_encoder(name)) + decoder_params(_decoder(_encoder(name)), 19)
    )
