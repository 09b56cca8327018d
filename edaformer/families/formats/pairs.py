"""A format that is a decoder's names over an encoder's: any pair of the two."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from edaformer.families.formats.naming import Format, Module

D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True)
class EncoderNames:
    """How a project names a MiT's or a PVTv2's weights, and computes with them."""

    anchor: str  # a weight of every file: what stands before it is a wrapper's
    block: str  # what stands before the names of ``blocks``
    stages: tuple[Module, ...]
    blocks: tuple[Module, ...]
    eps: tuple[float, float]  # of LayerNorm: MiTSizes.eps


@dataclass(frozen=True)
class DecoderNames(Generic[D_co]):
    """How a project names a decoder's weights, and over which encoders it puts it."""

    title: str  # of the project and the decoder
    signs: re.Pattern[str]  # found in names of this decoder alone
    encoders: tuple[EncoderNames, ...]
    heads: tuple[Module, ...]
    decoder: tuple[str, ...]  # what its names begin with
    unused: re.Pattern[str]  # whole names of what is known and not part of the network
    read: Callable[[Callable[[str], tuple[int, ...]]], D_co]  # the sizes, off the shapes of weights
    upsampling: int = 1  # of the logits by the network itself, corner to corner
    dilated: bool = False  # stage 4 does not halve its map, and dilates its convolutions instead
    # names of weights that such a decoder has as another network, and what that is; and a weight
    # that every one has, and what it is without
    refused: tuple[tuple[re.Pattern[str], str], ...] = ()
    needed: tuple[tuple[str, str], ...] = ()

    def another(self, keys: Collection[str]) -> str | None:
        """What such a decoder with these names of weights has that is not supported."""
        for sign, what in self.refused:
            if any(map(sign.search, keys)):
                return what
        lacking = (f"no {name}, as with {what}" for name, what in self.needed if name not in keys)
        return next(lacking, None)

    def formats(self) -> tuple[Format, ...]:
        """One over each encoder."""
        return tuple(
            Format(
                self.title, self.signs, encoder.anchor, encoder.block, encoder.stages,
                encoder.blocks, (), self.heads, self.decoder, self.unused, encoder.eps,
            )
            for encoder in self.encoders
        )  # fmt: skip


def convolved(theirs: str, ours: str, conv: str, norm: str) -> tuple[Module, Module]:
    """A convolution with BatchNorm behind it (``fuse.Convolve``), by the names of its two parts."""
    return (
        Module(f"{theirs}.{conv}.", (f"{ours}.conv",)),
        Module(f"{theirs}.{norm}.", (f"{ours}.norm",)),
    )
