"""EDAFormer (Yu et al., ECCV 2024, arXiv 2407.17261): encoder and decoder put together."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from edaformer.isr import BASE, ISR
from edaformer.model.attention import Block, EmbeddingFreeAttention
from edaformer.model.decoder import Branch, Decoder
from edaformer.model.encoder import EFT, Stage
from edaformer.variants import Variant, get_variant


class EDAFormer(nn.Module):
    """The segmentation network: a normalised image in, logits at 1/8 of its size out."""

    def __init__(self, variant: Variant, num_classes: int, isr: ISR = BASE) -> None:
        super().__init__()
        self.variant = variant
        self.num_classes = num_classes
        self.encoder = EFT(variant, isr.encoder)
        self.decoder = Decoder(variant, num_classes, isr.decoder)

    @classmethod
    def from_variant(cls, name: str, num_classes: int, isr: ISR = BASE) -> EDAFormer:
        """A freshly initialised model of variant ``T`` or ``B``."""
        return cls(get_variant(name), num_classes, isr)

    @property
    def isr(self) -> ISR:
        """The pooling ratios in force."""
        r1, r2, r3, r4, c4, c3, c2 = (place[0].ratio for place in self._attention_places())
        return ISR((r1, r2, r3, r4), (c4, c3, c2))

    def set_isr(self, isr: ISR) -> None:
        """Change the pooling ratios; the weights serve every ratio (paper section 3.3)."""
        for place, ratio in enumerate(isr.ratios):
            self.set_ratio(place, ratio)

    def set_ratio(self, place: int, ratio: int) -> None:
        """Change one of them; ``place`` counts edaformer.isr.PLACES."""
        for attention in self._attention_places()[place]:
            attention.ratio = ratio

    @property
    def parts(self) -> tuple[Stage | Branch, ...]:
        """The seven parts that pool, in the order of edaformer.isr.PLACES."""
        return (*self.encoder.stages, *self.decoder.branches)

    def forward(self, image: Tensor) -> Tensor:
        """Segment.

        Args:
            image: (B, 3, H, W) float, RGB, normalised (see edaformer.preprocess).

        Returns:
            Logits (B, classes, ceil(H / 8), ceil(W / 8)).
        """
        c2, c3, c4 = self.encoder(image)
        return self.decoder(c2, c3, c4)

    def _attention_places(self) -> list[list[EmbeddingFreeAttention]]:
        """The attention modules of the seven places, in the order of edaformer.isr.PLACES."""
        return [[cast(Block, block).attention for block in part.blocks] for part in self.parts]
