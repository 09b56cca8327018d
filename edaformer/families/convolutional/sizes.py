"""The sizes of a network: a MiT's or PVTv2's, and one of the decoders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edaformer.families.convolutional.table import USUAL, USUAL_DILATED, AnyDecoder
from edaformer.families.mit.sizes import (
    DILATED_STRIDES,
    ENCODERS,
    HEADS,
    MLP_RATIOS,
    PATCHES,
    RATIOS,
    RELEASE_EPS,
    STRIDES,
    Four,
    MiTSizes,
)
from edaformer.isr import Places


@dataclass(frozen=True)
class ConvolutionalSizes(MiTSizes):
    """Every number that tells one from another; an Architecture.

    Raises:
        InputError: for numbers that no network has, or that this one cannot have.
    """

    widths: Four  # channels
    depths: Four  # blocks
    decoder: AnyDecoder
    heads: Four = HEADS
    ratios: Four = RATIOS  # kernel and stride of the sequence reduction; 1: none
    mlp_ratios: Four = MLP_RATIOS
    patches: Four = PATCHES  # kernels of the patch embeddings
    strides: Four = STRIDES  # of the patch embeddings
    # of LayerNorm: in blocks and at the ends of stages; after patch embeddings and reductions
    eps: tuple[float, float] = RELEASE_EPS
    upsampling: Literal[1, 4] = 1  # of the logits by the network itself, corner to corner
    dilated: bool = False  # stage 4, in the place of its stride
    family: Literal["convolutional"] = "convolutional"

    def __post_init__(self) -> None:
        self.check_encoder(self.decoder.title, *self.decoder.numbers)

    @property
    def name(self) -> str:
        """``upernet-pvt-v2-b0``; ``upernet`` where decoder or encoder is of other sizes."""
        plain = replace(self, eps=RELEASE_EPS, upsampling=1)
        return next((name for name, sizes in NETWORKS.items() if sizes == plain), self.decoder.kind)

    @property
    def title(self) -> str:
        """``UPerNet-PVTv2-B0``, or ``UPerNet``."""
        encoder = self.name.removeprefix(self.decoder.kind)
        encoder = encoder.replace("-pvt-v2", "-PVTv2").replace("-mit", "-MiT").replace("-b", "-B")
        return self.decoder.title + encoder

    @property
    def logits_stride(self) -> int:
        """Input pixels to a logit."""
        return self.decoder.stride // self.upsampling

    @property
    def places(self) -> Places:
        """The four stages; the decoder has no attention."""
        doubled = ",".join(str(2 * ratio) for ratio in self.ratios)
        return Places(self.encoder_places, examples=f"{doubled} (or base)")

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run."""
        return self.encoder_attention_names


NETWORKS = {
    f"{decoder.kind}-{name}": ConvolutionalSizes(*encoder[:2], decoder, mlp_ratios=encoder[2])
    for decoder in USUAL
    for name, encoder in ENCODERS.items()
} | {
    f"{decoder.kind}-{name}": ConvolutionalSizes(*encoder[:2], decoder, dilated=True,
                                                 strides=DILATED_STRIDES)
    for decoder in USUAL_DILATED
    for name, encoder in ENCODERS.items() if name.startswith("mit-")
}  # fmt: skip  # as their projects make them; a file may have any other sizes
_MIT = "mit-b0 to mit-b5"
CALLED = (
    f"{' or '.join(f'{decoder.kind}-ENCODER' for decoder in USUAL)} with {_MIT} or pvt-v2-b0 to "
    f"pvt-v2-b4, {' or '.join(f'{decoder.kind}-ENCODER' for decoder in USUAL_DILATED)} with {_MIT}"
)
