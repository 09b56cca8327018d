"""A MiT or PVTv2 under a decoder of convolutions."""

from __future__ import annotations

from torch import nn

from edaformer.families.convolutional.sizes import ConvolutionalSizes
from edaformer.families.mit.network import mit
from edaformer.families.network import Head, Network
from edaformer.isr import ISR


class Decoder(Head):
    """The decoder's body, then a convolution that classifies."""

    def __init__(self, sizes: ConvolutionalSizes, num_classes: int) -> None:
        super().__init__()
        decoder = sizes.decoder
        self.fuse = decoder.body(sizes.widths)
        kernel = decoder.classify_kernel
        self.classify = nn.Conv2d(decoder.out, num_classes, kernel, padding=kernel // 2)
        self.upsampling = sizes.upsampling


class ConvolutionalNetwork(Network):
    """The segmentation network: a normalised image in, logits at 1 / logits_stride out."""

    def __init__(self, sizes: ConvolutionalSizes, num_classes: int, isr: ISR) -> None:
        super().__init__(sizes, num_classes)
        self.encoder = mit(sizes, isr.encoder)
        self.decoder = Decoder(sizes, num_classes)
