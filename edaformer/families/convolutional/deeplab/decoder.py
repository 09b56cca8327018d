"""DeepLabV3+ (Chen et al., ECCV 2018), as smp, segmentation_models_pytorch, has it.

Convolutions of several dilations over c4, which is as large as c3: its stage does not halve the map
and dilates its convolutions instead. Then c1 beside it. Over MiT alone: timm's PVTv2 cannot be
dilated.

Letters: D the decoder's width.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edaformer.families.convolutional.steps import Maps, Step, convolve, depthwise, move
from edaformer.families.formats.naming import Module
from edaformer.families.formats.pairs import DecoderNames, convolved
from edaformer.families.formats.smp import names as smp
from edaformer.families.formats.smp.folder import ModelClass

if TYPE_CHECKING:
    from torch import nn

    from edaformer.families.mit.sizes import Four

RATES = (12, 24, 36)  # of dilation, its default; no weight says them


@dataclass(frozen=True)
class DeepLab:
    """Its numbers; a Decoder."""

    width: int = 256
    beside: int = 48  # channels of c1
    kind: Literal["deeplabv3plus"] = "deeplabv3plus"

    title = "DeepLabV3+"
    stride = 4
    classify_kernel = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """What has to be above 0."""
        return (self.width, self.beside)

    @property
    def out(self) -> int:
        """D."""
        return self.width

    def steps(self, maps: Maps) -> Iterator[Step]:
        """The pyramid on c4, then c1."""
        d, beside, small, large = self.width, self.beside, maps.areas[3], maps.areas[0]
        channels, deep = maps.sizes.widths[0], maps.sizes.widths[3]
        yield convolve("here", small, deep, d)
        for _ in RATES:
            yield depthwise("around", small, deep)
            yield convolve("around", small, deep, d)
        yield move("mean", small * deep, deep)
        yield convolve("mean", 1, deep, d)
        seen = (2 + len(RATES)) * d
        yield move("join pyramid", (seen - d) * small + d, seen * small)
        yield convolve("project", small, seen, d)
        yield depthwise("smooth", small, d)
        yield convolve("smooth", small, d, d)
        yield convolve("beside", large, channels, beside)
        yield move("resize and join", small * d + large * beside, large * (d + beside))
        yield depthwise("join", large, d + beside)
        yield convolve("join", large, d + beside, d)

    def body(self, widths: Four) -> nn.Module:
        """The module; what imports PyTorch."""
        from edaformer.families.convolutional.deeplab.network import DeepLabBody

        return DeepLabBody(widths, self.width, self.beside, RATES)


def _read(of: Callable[[str], tuple[int, ...]]) -> DeepLab:
    return DeepLab(of("decoder.fuse.project.conv")[0], of("decoder.fuse.beside.conv")[0])


def _separable(depth: str, point: str, norm: str, ours: str) -> tuple[Module, ...]:
    return (
        Module(f"decoder.{depth}.", (f"decoder.fuse.{ours}.depthwise",)),
        Module(f"decoder.{point}.", (f"decoder.fuse.{ours}.pointwise.conv",)),
        Module(f"decoder.{norm}.", (f"decoder.fuse.{ours}.pointwise.norm",)),
    )


def _around(at: int) -> tuple[Module, ...]:
    theirs = f"aspp.0.convs.{at + 1}"
    return _separable(f"{theirs}.0.0", f"{theirs}.0.1", f"{theirs}.1", f"around.{at}")


SMP = DecoderNames(
    title=f"{smp.PROJECT}'s DeepLabV3Plus",
    signs=re.compile(r"(^|\.)decoder\.aspp\.0\.convs\."),
    encoders=(smp.MIT,),
    heads=(
        *convolved("decoder.aspp.0.convs.0", "decoder.fuse.here", "0", "1"),
        *(module for at in range(len(RATES)) for module in _around(at)),
        *convolved("decoder.aspp.0.convs.4", "decoder.fuse.mean", "1", "2"),
        *convolved("decoder.aspp.0.project", "decoder.fuse.project", "0", "1"),
        *_separable("aspp.1.0", "aspp.1.1", "aspp.2", "smooth"),
        *convolved("decoder.block1", "decoder.fuse.beside", "0", "1"),
        *_separable("block2.0.0", "block2.0.1", "block2.1", "join"),
        smp.CLASSIFY,
    ),
    decoder=smp.DECODER,
    unused=smp.UNUSED,
    read=_read,
    upsampling=4,
    dilated=True,
    needed=(("decoder.aspp.0.convs.1.0.1.weight", "decoder_aspp_separable false"),),
)  # fmt: skip
NAMES = (SMP,)
SMP_CLASS = ModelClass(
    "DeepLabV3Plus",
    supported={
        "upsampling": (4,), "encoder_output_stride": (16,), "decoder_atrous_rates": ([*RATES],),
        "decoder_aspp_separable": (True,),
    },
    told={"decoder_channels": lambda sizes: sizes.decoder.width},
    unused=("decoder_aspp_dropout",),
)  # fmt: skip
