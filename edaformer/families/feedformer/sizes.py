"""The sizes of a FeedFormer: a MiT under one of its two published decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edaformer.families.mit.sizes import (
    HEADS,
    MLP_RATIOS,
    PATCHES,
    RATIOS,
    RELEASE_EPS,
    STRIDES,
    VARIANTS,
    Four,
    MiTSizes,
    check_heads,
)
from edaformer.isr import Place, Places

# plain: of the ADE20K configurations; city: of the Cityscapes ones, where queries are pooled, too
Head = Literal["plain", "city"]
BRANCHES = ("c4", "c3", "c2")  # each attends to c1, in this order
STAGES = (3, 2, 1)  # that they are of
DECODER_HEADS = (8, 5, 2)  # of attention, in all published ones
DECODER_MLP_RATIO = 4
_POOLED = {"plain": (8, 4, 2), "city": (16, 8, 4)}  # c1, for c4, c3 and c2


@dataclass(frozen=True)
class FeedFormerSizes(MiTSizes):
    """Every number that tells one from another; an Architecture.

    Raises:
        InputError: for numbers that no network has, or that this one cannot have.
    """

    widths: Four
    depths: Four
    decoder_width: int
    head: Head = "plain"
    heads: Four = HEADS
    ratios: Four = RATIOS
    mlp_ratios: Four = MLP_RATIOS
    patches: Four = PATCHES
    strides: Four = STRIDES
    eps: tuple[float, float] = RELEASE_EPS
    family: Literal["feedformer"] = "feedformer"

    def __post_init__(self) -> None:
        self.check_encoder("FeedFormer", self.decoder_width)
        check_heads(tuple(self.widths[at] for at in STAGES), DECODER_HEADS)

    @property
    def name(self) -> str:
        """``feedformer-b0``, ``feedformer-b0-city``, by encoder and head; else ``feedformer``."""
        ending = "-city" if self.head == "city" else ""
        return next(
            (
                f"feedformer-{name}{ending}"
                for name, (widths, depths) in VARIANTS.items()
                if self == FeedFormerSizes(widths, depths, self.decoder_width, self.head)
            ),
            f"feedformer{ending}",
        )

    @property
    def title(self) -> str:
        """``FeedFormer-B0``, ``FeedFormer-B0-City``, or ``FeedFormer``."""
        named = self.name.replace("feedformer", "FeedFormer").replace("-b", "-B")
        return named.replace("-city", "-City")

    @property
    def logits_stride(self) -> int:
        """Input pixels to a logit: maps are fused at stage 1's size."""
        return self.strides[0]

    @property
    def query_pooling(self) -> int:
        """By how much the decoder's queries are pooled; ISR leaves it alone."""
        return 2 if self.head == "city" else 1

    @property
    def places(self) -> Places:
        """The four stages, and the three cross attentions, each of which pools c1."""
        pooled = tuple(
            Place(f"decoder {name}", ratio, self.map_strides[0])
            for name, ratio in zip(BRANCHES, _POOLED[self.head], strict=True)
        )
        encoder, decoder = (
            ",".join(str(2 * place.base) for place in part)
            for part in (self.encoder_places, pooled)
        )
        examples = f"{encoder} or {encoder}-{decoder} (or base)"
        return Places(self.encoder_places, pooled, examples=examples)

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run."""
        decoder = tuple(f"decoder.{name}.blocks.0.attention" for name in BRANCHES)
        return self.encoder_attention_names + decoder

    def decoder_hidden(self, stage: int) -> int:
        """Hidden width of the decoder's MLP on the map of stage ``stage`` (1..3)."""
        return self.widths[stage] * DECODER_MLP_RATIO


_HEADS: dict[str, Head] = {"": "plain", "-city": "city"}  # by the ending of the name
FEEDFORMERS = {
    f"feedformer-{name}{ending}": FeedFormerSizes(*VARIANTS[name], decoder_width, head)
    for ending, head in _HEADS.items()
    for name, decoder_width in (("b0", 128), ("b2", 768))
}  # as published; a file may have any other of MiT's sizes
