"""Semantic FPN (Kirillov et al., CVPR 2019), as mmsegmentation and smp have it.

A feature pyramid from c4 down to c1; each of its maps is convolved and doubled until it has c1's
size, and all are added. mmsegmentation's is the one that PVTv2's authors publish: it smooths the
pyramid's maps first. smp, segmentation_models_pytorch, does not, and has GroupNorm for BatchNorm
and upsamples corner to corner.

Letters: P the pyramid's width, D the width of what is added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edaformer.errors import InputError
from edaformer.families.convolutional.steps import Maps, Step, convolve, move
from edaformer.families.formats.mit import MMSEG_MIT, RELEASED
from edaformer.families.formats.naming import Module
from edaformer.families.formats.pairs import DecoderNames, convolved
from edaformer.families.formats.smp import names as smp_names
from edaformer.families.formats.smp.folder import ModelClass

if TYPE_CHECKING:
    from torch import nn

    from edaformer.families.mit.sizes import Four

GROUPS = 32  # of smp's GroupNorm
CONVOLUTIONS = (1, 1, 2, 3)  # of the maps of the pyramid, c1's first: all but the first double it


@dataclass(frozen=True)
class FPN:
    """Its numbers; a Decoder.

    Raises:
        InputError: if smp's groups do not divide the channels.
    """

    width: int = 256
    channels: int = 128
    smp: bool = False  # nothing smoothed, GroupNorm, corner to corner
    kind: Literal["fpn"] = "fpn"

    title = "FPN"
    stride = 4
    classify_kernel = 1

    def __post_init__(self) -> None:
        if self.smp and self.channels % GROUPS:
            raise InputError(
                f"expected channels that GroupNorm's {GROUPS} groups divide, got {self.channels}; "
                "mend the configuration"
            )

    @property
    def numbers(self) -> tuple[int, ...]:
        """What has to be above 0."""
        return self.width, self.channels

    @property
    def out(self) -> int:
        """D."""
        return self.channels

    def steps(self, maps: Maps) -> Iterator[Step]:
        """Laterals from c4 on, smoothing, a branch for each map, their sum."""
        p, d, widths, areas = self.width, self.channels, maps.sizes.widths, maps.areas
        for stage in (3, 2, 1, 0):
            yield convolve("lateral", areas[stage], widths[stage], p, bias=True)
            if stage < 3:
                above, here = areas[stage + 1] * p, areas[stage] * p
                yield move("resize and add", above + here, here)
        if not self.smp:
            for area in areas[1:]:
                yield convolve("smooth", area, p, p, 3, bias=True)
            # export/rewrites/smooth_per_branch.py
            saved = areas[0] * p * max(0, 5 * p - 8 * widths[0])
            yield replace(convolve("smooth", areas[0], p, p, 3, bias=True), saved=saved)
        for stage, count in enumerate(CONVOLUTIONS):
            for done in range(count):
                area = areas[stage] * 4**done
                if done:
                    yield move("resize branch", area // 4 * d, area * d)
                yield convolve("branch", area, d if done else p, d, 3)
                if self.smp:
                    yield Step("normalise groups", 0, d, 0, area * d, area * d)
        yield move("add branches", 3 * areas[1] * d, areas[1] * d)
        yield move("resize and add", (areas[1] + areas[0]) * d, areas[0] * d)

    def body(self, widths: Four) -> nn.Module:
        """The module; what imports PyTorch."""
        from edaformer.families.convolutional.fpn_network import FPNBody

        groups = GROUPS if self.smp else None
        return FPNBody(widths, self.width, self.channels, CONVOLUTIONS, groups=groups)


_FUSE = "decoder.fuse."


def _read(of: Callable[[str], tuple[int, ...]]) -> FPN:
    channels, width = of(f"{_FUSE}branches.0.0.conv")[:2]
    return FPN(width, channels)


def _read_smp(of: Callable[[str], tuple[int, ...]]) -> FPN:
    channels, width = of(f"{_FUSE}branches.0.0.conv")[:2]
    if (classified := of("decoder.classify")[1]) == len(CONVOLUTIONS) * channels:
        raise InputError(
            f"segmentation_head.0 takes {classified} channels out of maps of {channels}, so that "
            "they are concatenated (decoder_merge_policy 'cat'), and only 'add' is supported; "
            "train with it"
        )
    return FPN(width, channels, smp=True)


_BRANCHES = tuple((stage, at) for stage, n in enumerate(CONVOLUTIONS) for at in range(n))
MMSEG = DecoderNames(
    title="mmsegmentation's FPN",
    signs=re.compile(r"(^|\.)decode_head\.scale_heads\.\d\.\d\.conv\."),
    encoders=(RELEASED, MMSEG_MIT),
    heads=(
        *(Module(f"neck.lateral_convs.{stage}.conv.", (f"{_FUSE}laterals.{stage}",))
          for stage in range(4)),
        *(Module(f"neck.fpn_convs.{stage}.conv.", (f"{_FUSE}smooth.{stage}",))
          for stage in range(4)),
        # a module of doubling stands between two convolutions
        *(module for stage, at in _BRANCHES for module in convolved(
            f"decode_head.scale_heads.{stage}.{2 * at}", f"{_FUSE}branches.{stage}.{at}",
            "conv", "bn")),
        Module("decode_head.conv_seg.", ("decoder.classify",)),
    ),
    decoder=("neck.", "decode_head."),
    unused=re.compile(r"auxiliary_head\..+"),
    read=_read,
)  # fmt: skip
SMP = DecoderNames(
    title=f"{smp_names.PROJECT}'s FPN",
    signs=re.compile(r"(^|\.)decoder\.seg_blocks\.\d\.block\.\d\.block\."),
    encoders=smp_names.ENCODERS,
    heads=(
        Module("decoder.p5.", (f"{_FUSE}laterals.3",)),
        *(Module(f"decoder.p{stage + 2}.skip_conv.", (f"{_FUSE}laterals.{stage}",))
          for stage in range(3)),
        *(module for stage, at in _BRANCHES for module in convolved(
            f"decoder.seg_blocks.{3 - stage}.block.{at}.block", f"{_FUSE}branches.{stage}.{at}",
            "0", "1")),
        smp_names.CLASSIFY,
    ),
    decoder=smp_names.DECODER,
    unused=smp_names.UNUSED,
    read=_read_smp,
    upsampling=4,
)  # fmt: skip
NAMES = (MMSEG, SMP)
SMP_CLASS = ModelClass(
    "FPN",
    supported={
        "upsampling": (4,), "decoder_merge_policy": ("add",), "decoder_interpolation": ("nearest",),
    },
    told={
        "decoder_pyramid_channels": lambda sizes: sizes.decoder.width,
        "decoder_segmentation_channels": lambda sizes: sizes.decoder.channels,
    },
    unused=("decoder_dropout",),
)  # fmt: skip
