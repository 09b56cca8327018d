"""segmentation_models_pytorch's: ``encoder.block1.0.attn.kv``, ``decoder.mlp_stage.0.linear``.

Names as its decoders/segformer has them (0.4 to 0.6), over its MiT and over timm's PVTv2. The
segmentation head upsamples its logits to the image's size with ``align_corners=True``, as no other
project does.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edaformer.families.formats.backbones import refuse_backbone
from edaformer.families.formats.naming import Format, Module
from edaformer.families.formats.pairs import EncoderNames
from edaformer.families.formats.smp import names as smp
from edaformer.families.formats.smp.folder import ModelClass

_DECODER = re.compile(r"(^|\.)decoder\.mlp_stage\.\d\.linear\.")


def _over(encoder: EncoderNames, signs: re.Pattern[str]) -> Format:
    return Format(
        title=f"{smp.PROJECT}'s Segformer",
        signs=signs,
        anchor=encoder.anchor,
        block=encoder.block,
        stages=encoder.stages,
        blocks=encoder.blocks,
        branches=(Module("decoder.mlp_stage.{j}.linear.", ("decoder.fuse.embed.{j}",)),),
        heads=(
            Module("decoder.fuse_stage.0.", ("decoder.fuse.conv",)),
            Module("decoder.fuse_stage.1.", ("decoder.fuse.norm",)),
            smp.CLASSIFY,
        ),
        decoder=smp.DECODER,
        unused=smp.UNUSED,
        eps=encoder.eps,
        align_corners="logits",
    )


SMP = _over(
    smp.MIT,
    re.compile(rf"(^|\.)encoder\.block[1-4]\.\d+\.attn\.(q|kv)\.|{_DECODER.pattern}"),
)
SMP_PVT = _over(smp.PVT, _DECODER)


def refuse_other_encoder(path: Path, keys: Collection[str]) -> None:
    """Its Segformer over an encoder that is none of these two.

    Raises:
        CheckpointError: if it is one.
    """
    if any(map(_DECODER.search, keys)) and not {SMP.anchor, SMP_PVT.anchor} & set(keys):
        refuse_backbone(path, keys, smp.DECODER)


CLASS = ModelClass(
    "Segformer",
    supported={"upsampling": (4,)},
    told={"decoder_segmentation_channels": lambda sizes: sizes.decoder_width},
)
