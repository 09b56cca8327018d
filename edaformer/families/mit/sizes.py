"""The sizes of a MiT or a PVTv2: those of every network with this encoder, whatever its decoder."""

from __future__ import annotations

import math
from itertools import accumulate
from operator import mul

from edaformer.errors import InputError
from edaformer.families.architecture import Architecture
from edaformer.isr import Place
from edaformer.preprocess import ALIGN

Four = tuple[int, int, int, int]  # of stages 1..4
MAX_CLASSES = 256  # labels are uint8
LARGEST = 1 << 16  # of any number here: a manifest is not trusted
HEADS: Four = (1, 2, 5, 8)  # of B0 to B5, by every project (SegFormer, table 6)
RATIOS: Four = (8, 4, 2, 1)
MLP_RATIOS: Four = (4, 4, 4, 4)
PATCHES: Four = (7, 3, 3, 3)
STRIDES: Four = (4, 2, 2, 2)
DILATED_STRIDES: Four = (4, 2, 2, 1)  # where stage 4 dilates its convolutions instead
_NARROW: Four = (32, 64, 160, 256)
_WIDE: Four = (64, 128, 320, 512)
WIDTHS = (_NARROW, _WIDE)  # of B0 to B5
# of LayerNorm in blocks and at the ends of stages, and elsewhere: as both releases have them
RELEASE_EPS = (1e-6, 1e-5)
VARIANTS: dict[str, tuple[Four, Four]] = {  # of MiT: widths, depths
    "b0": (_NARROW, (2, 2, 2, 2)),
    "b1": (_WIDE, (2, 2, 2, 2)),
    "b2": (_WIDE, (3, 4, 6, 3)),
    "b3": (_WIDE, (3, 4, 18, 3)),
    "b4": (_WIDE, (3, 8, 27, 3)),
    "b5": (_WIDE, (3, 6, 40, 3)),
}
_PVT_DEPTHS: dict[str, Four] = {
    "b0": (2, 2, 2, 2), "b1": (2, 2, 2, 2), "b2": (3, 4, 6, 3), "b3": (3, 4, 18, 3),
    "b4": (3, 8, 27, 3),
}  # fmt: skip
# All published ones: widths, depths, MLP ratios. PVTv2-B5 is the network that MiT-B5 is
ENCODERS: dict[str, tuple[Four, Four, Four]] = {
    **{f"mit-{name}": (*encoder, MLP_RATIOS) for name, encoder in VARIANTS.items()},
    **{f"pvt-v2-{name}": (_NARROW if name == "b0" else _WIDE, depths, (8, 8, 4, 4))
       for name, depths in _PVT_DEPTHS.items()},
}  # fmt: skip


def check_heads(widths: tuple[int, ...], heads: tuple[int, ...]) -> None:
    """Heads of attention share the channels.

    Raises:
        InputError: if they do not divide them.
    """
    if any(width % count for width, count in zip(widths, heads, strict=True)):
        raise InputError(
            f"expected heads that divide {widths} channels, got {heads}; mend the configuration"
        )


class MiTSizes(Architecture):
    """What a frozen dataclass of a family inherits, which has these fields among its own."""

    widths: Four  # channels
    depths: Four  # blocks
    heads: Four
    ratios: Four  # kernel and stride of the sequence reduction; 1: none
    mlp_ratios: Four
    patches: Four  # kernels of the patch embeddings
    strides: Four  # of the patch embeddings
    # of LayerNorm: in blocks and at the ends of stages; after patch embeddings and reductions
    eps: tuple[float, float]

    dilated = False  # stage 4's convolutions, by 2, as where its stride has been taken away

    def check_encoder(self, title: str, *others: int) -> None:
        """Refuse numbers that no network has, ``others`` of the decoder's included.

        Raises:
            InputError: naming them.
        """
        numbers = (*self.widths, *self.depths, *self.heads, *self.ratios, *self.mlp_ratios,
                   *self.patches, *self.strides, *others)  # fmt: skip
        if not all(0 < number <= LARGEST for number in numbers):
            raise InputError(
                f"expected a {title}'s sizes between 1 and {LARGEST}, got {self}; "
                "mend the configuration"
            )
        check_heads(self.widths, self.heads)
        if any(patch % 2 == 0 for patch in self.patches):
            raise InputError(f"expected odd patch sizes, got {self.patches}; no other is supported")
        if ALIGN % math.prod(self.strides):
            raise InputError(
                f"expected strides whose product divides {ALIGN}, got {self.strides}; "
                "no other is supported"
            )
        if not all(0 < eps < 1 for eps in self.eps):
            raise InputError(f"expected LayerNorm's eps between 0 and 1, got {self.eps}; mend it")

    @property
    def map_strides(self) -> Four:
        """Input pixels to a position of each stage's map."""
        first, second, third, fourth = accumulate(self.strides, mul)
        return first, second, third, fourth

    @property
    def dilations(self) -> Four:
        """Of the convolutions of each stage."""
        return (1, 1, 1, 2 if self.dilated else 1)

    @property
    def encoder_places(self) -> tuple[Place, ...]:
        """The four stages."""
        return tuple(
            Place(f"encoder stage {number}", ratio, stride)
            for number, (ratio, stride) in enumerate(
                zip(self.ratios, self.map_strides, strict=True), 1
            )
        )

    @property
    def encoder_attention_names(self) -> tuple[str, ...]:
        """The module names of the encoder's attention blocks, in the order they run."""
        stages = enumerate(self.depths, start=1)
        return tuple(f"encoder.stage{s}.blocks.{i}.attention" for s, n in stages for i in range(n))

    @property
    def kept_maps(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of the maps that wait for the decoder: all four."""
        return tuple(zip(self.widths, self.map_strides, strict=True))

    def channels_in(self, stage: int) -> int:
        """What stage ``stage`` (0..3) embeds."""
        return self.widths[stage - 1] if stage else 3

    def hidden(self, stage: int) -> int:
        """Hidden width of the MLPs of stage ``stage`` (0..3)."""
        return self.widths[stage] * self.mlp_ratios[stage]
