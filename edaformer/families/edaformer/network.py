"""EDAFormer (Yu et al., ECCV 2024, arXiv 2407.17261): encoder and decoder put together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edaformer.families.edaformer.decoder import Decoder
from edaformer.families.edaformer.encoder import EFT
from edaformer.families.edaformer.sizes import DECODER_STAGES, Variant, get_variant
from edaformer.families.network import Network
from edaformer.isr import BASE, ISR


class EDAFormer(Network):
    """The segmentation network: a normalised image in, logits at 1/8 of its size out."""

    reads = ((), (0,), (1,), (2,), *((stage,) for stage in DECODER_STAGES))
    fused = (4, 5, 6)
    encoder: EFT
    decoder: Decoder
    variant: Variant

    def __init__(self, variant: Variant, num_classes: int, isr: ISR = BASE) -> None:
        super().__init__(variant, num_classes)
        self.encoder = EFT(variant, isr.encoder)
        self.decoder = Decoder(variant, num_classes, isr.decoder)

    @classmethod
    def from_variant(cls, name: str, num_classes: int, isr: ISR = BASE) -> EDAFormer:
        """A freshly initialised model of variant ``T`` or ``B``."""
        return cls(get_variant(name), num_classes, isr)

    @property
    def parts(self) -> Sequence[nn.Module]:
        """The encoder's stages, then the decoder's branches."""
        return [*self.encoder.stages, *self.decoder.branches]
