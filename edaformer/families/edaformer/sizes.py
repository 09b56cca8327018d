"""The sizes of EDAFormer-T and -B (paper, table 1), in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edaformer.errors import InputError
from edaformer.isr import EDAFORMER, Places
from edaformer.preprocess import LOGITS_STRIDE


@dataclass(frozen=True)
class Variant:
    """Every number that tells one variant from another; an Architecture."""

    name: str
    widths: tuple[int, int, int, int]  # channels of stages 1..4
    depths: tuple[int, int, int, int]  # blocks of stages 1..4
    mlp_ratio: float  # hidden width of an encoder MLP, as a multiple of its channels
    decoder_mlp_ratio: float
    fuse_width: int  # channels after the decoder's fuse convolution

    family: ClassVar[str] = "edaformer"
    places: ClassVar[Places] = EDAFORMER
    logits_stride: ClassVar[int] = LOGITS_STRIDE

    @property
    def title(self) -> str:
        """``EDAFormer-T``."""
        return f"EDAFormer-{self.name}"

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run: 22 for T, 37 for B."""
        parts = {f"encoder.stage{i}": depth for i, depth in enumerate(self.depths, start=1)}
        parts |= dict(zip(("decoder.c4", "decoder.c3", "decoder.c2"), DECODER_DEPTHS, strict=True))
        return tuple(f"{part}.blocks.{i}.attention" for part, n in parts.items() for i in range(n))

    @property
    def kept_maps(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of the maps that wait for the decoder: c2, c3 and c4."""
        return tuple(zip(self.widths[1:], (8, 16, 32), strict=True))

    def hidden(self, stage: int) -> int:
        """Hidden width of the MLPs of encoder stage ``stage`` (0..3)."""
        return int(self.widths[stage] * self.mlp_ratio)

    def decoder_hidden(self, stage: int) -> int:
        """Hidden width of the decoder's MLPs on the output of encoder stage ``stage`` (1..3)."""
        return int(self.widths[stage] * self.decoder_mlp_ratio)


HEADS = (1, 2, 4, 8)  # per stage; the decoder uses its stage's
PATCH_KERNELS = (7, 3, 3, 3)
PATCH_STRIDES = (4, 2, 2, 2)
DECODER_STAGES = (3, 2, 1)  # the decoder works on c4, c3, c2, in this order
DECODER_DEPTHS = (3, 2, 1)

VARIANTS = {
    "T": Variant("T", (32, 64, 128, 256), (2, 2, 10, 2), 3.8, 2, 128),
    "B": Variant("B", (64, 128, 256, 512), (3, 3, 22, 3), 4, 1, 768),
}


def get_variant(name: str) -> Variant:
    """The variant called ``name``.

    Raises:
        InputError: listing the known ones.
    """
    if name not in VARIANTS:
        raise InputError(f"expected a variant out of {', '.join(VARIANTS)}, got '{name}'")
    return VARIANTS[name]
