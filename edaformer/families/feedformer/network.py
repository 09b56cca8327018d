"""FeedFormer (Shim et al., AAAI 2023): encoder and decoder put together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edaformer.families.feedformer.decoder import Decoder
from edaformer.families.feedformer.sizes import FeedFormerSizes
from edaformer.families.mit.network import mit
from edaformer.families.network import Network
from edaformer.isr import ISR


class FeedFormer(Network):
    """The segmentation network: a normalised image in, logits at 1/4 of its size out."""

    reads = ((), (0,), (1,), (2,), (3, 0), (2, 0), (1, 0))
    fused = (4, 5, 6, 0)
    decoder: Decoder

    def __init__(self, sizes: FeedFormerSizes, num_classes: int, isr: ISR) -> None:
        super().__init__(sizes, num_classes)
        self.encoder = mit(sizes, isr.encoder)
        self.decoder = Decoder(sizes, num_classes, isr.decoder)

    @property
    def parts(self) -> Sequence[nn.Module]:
        """The encoder's stages, then the decoder's branches."""
        return [*self.encoder.stages, *self.decoder.branches]
