"""Unet (Ronneberger et al., MICCAI 2015), as smp, segmentation_models_pytorch, has it.

Five levels, each upsamples by repeating pixels, takes the encoder's map of that size beside it and
convolves twice; the last two have no map beside them, for these encoders begin at a quarter of the
image. What is classified is as large as the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from edaformer.families.convolutional.steps import Maps, Step, convolve, move
from edaformer.families.formats.pairs import DecoderNames, convolved
from edaformer.families.formats.smp import names as smp
from edaformer.families.formats.smp.folder import BATCHNORM, ModelClass

if TYPE_CHECKING:
    from torch import nn

    from edaformer.families.mit.sizes import Four

Five = tuple[int, int, int, int, int]
LEVELS = range(5)


@dataclass(frozen=True)
class Unet:
    """Its numbers; a Decoder."""

    widths: Five = (256, 128, 64, 32, 16)  # of the levels, the smallest map first
    kind: Literal["unet"] = "unet"

    title = "Unet"
    stride = 1
    classify_kernel = 3

    @property
    def numbers(self) -> tuple[int, ...]:
        """What has to be above 0."""
        return self.widths

    @property
    def out(self) -> int:
        """Of the last level."""
        return self.widths[-1]

    def levels(self, encoder: Four) -> tuple[tuple[int, int, int], ...]:
        """Channels of each level: what it takes, what stands beside it, what it makes."""
        taken, beside = (encoder[3], *self.widths[:-1]), (*encoder[2::-1], 0, 0)
        return tuple(zip(taken, beside, self.widths, strict=True))

    def steps(self, maps: Maps) -> Iterator[Step]:
        """Levels from 1/16 of the image's sides to all of them."""
        areas = (*maps.areas[::-1], maps.area(2), maps.area(1))
        for at, (taken, beside, width) in enumerate(self.levels(maps.sizes.widths)):
            small, area, joined = areas[at], areas[at + 1], taken + beside
            yield move("upsample and join", small * taken + area * beside, area * joined)
            yield convolve("convolve", area, joined, width, 3)
            yield convolve("convolve again", area, width, width, 3)

    def body(self, widths: Four) -> nn.Module:
        """The module; what imports PyTorch."""
        from edaformer.families.convolutional.unet_network import UnetBody

        return UnetBody(self.levels(widths))


def _read(of: Callable[[str], tuple[int, ...]]) -> Unet:
    return Unet(cast(Five, tuple(of(f"decoder.fuse.levels.{at}.first.conv")[0] for at in LEVELS)))


SMP = DecoderNames(
    title=f"{smp.PROJECT}'s Unet",
    signs=re.compile(r"(^|\.)decoder\.blocks\.\d\.conv1\.0\."),
    encoders=smp.ENCODERS,
    heads=(
        *(
            module
            for at in LEVELS
            for theirs, ours in (("conv1", "first"), ("conv2", "second"))
            for module in convolved(
                f"decoder.blocks.{at}.{theirs}", f"decoder.fuse.levels.{at}.{ours}", "0", "1"
            )
        ),
        smp.CLASSIFY,
    ),
    decoder=smp.DECODER,
    unused=smp.UNUSED,
    read=_read,
    refused=(
        (re.compile(r"\.attention[12]\.attention\."), "decoder_attention_type 'scse'"),
        (re.compile(r"^decoder\.center\."), "a center block"),
    ),
    needed=(
        ("decoder.blocks.4.conv1.0.weight", "an encoder_depth below 5"),
        ("decoder.blocks.0.conv1.1.running_mean", "a decoder_use_norm other than 'batchnorm'"),
    ),
)
NAMES = (SMP,)
SMP_CLASS = ModelClass(
    "Unet",
    supported={
        **BATCHNORM, "decoder_attention_type": (None,), "decoder_interpolation": ("nearest",),
    },
    told={"decoder_channels": lambda sizes: [*sizes.decoder.widths]},
)  # fmt: skip
