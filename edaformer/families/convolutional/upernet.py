"""UPerNet (Xiao et al., ECCV 2018), as transformers, mmsegmentation and smp have it.

A pyramid of pooled maps under c4, then a feature pyramid down to c1, all joined at c1's size. smp,
segmentation_models_pytorch, normalises the encoder's maps once more first.

Letters: D the decoder's width.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edaformer.families.convolutional.steps import Maps, Step, convolve, move
from edaformer.families.formats.mit import MMSEG_MIT, RELEASED
from edaformer.families.formats.naming import Module
from edaformer.families.formats.pairs import DecoderNames, convolved
from edaformer.families.formats.pvt import HUGGING_PVT
from edaformer.families.formats.smp import names as smp
from edaformer.families.formats.smp.folder import BATCHNORM, ModelClass

if TYPE_CHECKING:
    from torch import nn

    from edaformer.families.mit.sizes import Four

SCALES = (1, 2, 3, 6)  # sides of the pooled maps, in every project
_FUSE = "decoder.fuse."


@dataclass(frozen=True)
class UPerNet:
    """Its numbers; a Decoder."""

    width: int = 512
    normed: bool = False  # LayerNorm of the encoder's maps, of eps 1e-6
    kind: Literal["upernet"] = "upernet"

    title = "UPerNet"
    stride = 4
    classify_kernel = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """What has to be above 0."""
        return (self.width,)

    @property
    def out(self) -> int:
        """D."""
        return self.width

    def steps(self, maps: Maps) -> Iterator[Step]:
        """Pyramid, laterals from c3 on, smoothing, joining."""
        d, widths, areas = self.width, maps.sizes.widths, maps.areas
        if self.normed:
            for c, n in zip(widths, areas, strict=True):
                yield Step("normalise map", 0, 2 * c, 2 * c, n * c, n * c)
        deep, smallest = widths[3], areas[3]
        for side in SCALES:
            yield move("pool", smallest * deep, side**2 * deep)
            yield convolve("pyramid", side**2, deep, d)
        pooled = len(SCALES) * d
        yield move("resize pyramid", smallest * deep, smallest * (deep + pooled))
        yield convolve("bottleneck", smallest, deep + pooled, d, 3)
        for stage in (2, 1, 0):
            yield convolve("lateral", areas[stage], widths[stage], d)
            above, here = areas[stage + 1] * d, areas[stage] * d
            yield move("resize and add", above + here, here)
        for area in areas[:3]:
            yield convolve("smooth", area, d, d, 3)
        yield move("resize and join", sum(areas) * d, 4 * areas[0] * d)
        yield convolve("join", areas[0], 4 * d, d, 3)

    def body(self, widths: Four) -> nn.Module:
        """The module; what imports PyTorch."""
        from edaformer.families.convolutional.upernet_network import UPerNetBody

        return UPerNetBody(widths, self.width, SCALES, normed=self.normed)


def _read(of: Callable[[str], tuple[int, ...]]) -> UPerNet:
    return UPerNet(of("decoder.fuse.join.conv")[0])


def _heads(norm: str, classify: str) -> tuple[Module, ...]:
    """Transformers' and mmsegmentation's names, which differ in those of two modules."""
    fuse, head = _FUSE, "decode_head."
    one = (
        *((f"{head}psp_modules.{at}.1", f"{fuse}pyramid.{at}") for at in range(len(SCALES))),
        (f"{head}bottleneck", f"{fuse}bottleneck"),
        *((f"{head}lateral_convs.{at}", f"{fuse}laterals.{at}") for at in range(3)),
        *((f"{head}fpn_convs.{at}", f"{fuse}smooth.{at}") for at in range(3)),
        (f"{head}fpn_bottleneck", f"{fuse}join"),
    )
    return (
        *(module for theirs, ours in one for module in convolved(theirs, ours, "conv", norm)),
        Module(f"{head}{classify}.", ("decoder.classify",)),
    )


_SMP = (  # its names of convolutions, c3 first; ours
    *((f"decoder.psp.blocks.{at}.1", f"{_FUSE}pyramid.{at}") for at in range(len(SCALES))),
    ("decoder.psp.out_conv", f"{_FUSE}bottleneck"),
    *((f"decoder.fpn_lateral_blocks.{at}.conv_norm_relu", f"{_FUSE}laterals.{2 - at}")
      for at in range(3)),
    *((f"decoder.fpn_conv_blocks.{at}", f"{_FUSE}smooth.{2 - at}") for at in range(3)),
    ("decoder.fusion_block", f"{_FUSE}join"),
)  # fmt: skip
HUGGING = DecoderNames(
    title="transformers' UperNet",
    signs=re.compile(r"(^|\.)decode_head\.psp_modules\.\d\.1\.batch_norm\."),
    encoders=(HUGGING_PVT,),
    heads=_heads("batch_norm", "classifier"),
    decoder=("decode_head.",),
    unused=re.compile(r"auxiliary_head\..+"),
    read=_read,
)
MMSEG = DecoderNames(
    title="mmsegmentation's UPerNet",
    signs=re.compile(r"(^|\.)decode_head\.psp_modules\.\d\.1\.bn\."),
    encoders=(RELEASED, MMSEG_MIT),
    heads=_heads("bn", "conv_seg"),
    decoder=("decode_head.",),
    unused=re.compile(r"auxiliary_head\..+"),
    read=_read,
)
SMP = DecoderNames(
    title=f"{smp.PROJECT}'s UPerNet",
    signs=re.compile(r"(^|\.)decoder\.(fpn_lateral_blocks|fpn_conv_blocks|fusion_block)\."),
    encoders=smp.ENCODERS,
    heads=(
        *(Module(f"decoder.feature_norms.{at}.", (f"decoder.fuse.norms.{at}",)) for at in range(4)),
        *(module for theirs, ours in _SMP for module in convolved(theirs, ours, "0", "1")),
        smp.CLASSIFY,
    ),
    decoder=smp.DECODER,
    unused=smp.UNUSED,
    read=lambda of: replace(_read(of), normed=True),
    upsampling=4,
    needed=(
        ("decoder.feature_norms.3.weight", "an encoder_depth below 5"),
        ("decoder.fusion_block.1.running_mean", "a decoder_use_norm other than 'batchnorm'"),
    ),
)
NAMES = (HUGGING, MMSEG, SMP)
SMP_CLASS = ModelClass(
    "UPerNet",
    supported={**BATCHNORM, "upsampling": (4,)},
    told={"decoder_channels": lambda sizes: sizes.decoder.width},
)
