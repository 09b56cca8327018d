"""segmentation_models_pytorch's: ``encoder.block1.0.attn.kv``, ``decoder.mlp_stage.0.linear``.

Names as its encoders/mix_transformer.py and decoders/segformer have them (0.4 to 0.6). The encoder
computes as NVlabs' does. The segmentation head upsamples its logits to the image's size with
``align_corners=True``, as no other project does.
"""

from __future__ import annotations

import re

from edaformer.families.formats.mit import released
from edaformer.families.formats.naming import Format, Module

_ENCODER = released("encoder.")
SMP = Format(
    title="segmentation_models_pytorch's Segformer",
    signs=re.compile(
        r"(^|\.)encoder\.block[1-4]\.\d+\.attn\.(q|kv)\.|(^|\.)decoder\.mlp_stage\.\d\.linear\."
    ),
    anchor=_ENCODER.anchor,
    block=_ENCODER.block,
    stages=_ENCODER.stages,
    blocks=_ENCODER.blocks,
    branches=(Module("decoder.mlp_stage.{j}.linear.", ("decoder.fuse.embed.{j}",)),),
    heads=(
        Module("decoder.fuse_stage.0.", ("decoder.fuse.conv",)),
        Module("decoder.fuse_stage.1.", ("decoder.fuse.norm",)),
        Module("segmentation_head.0.", ("decoder.classify",)),
    ),
    decoder=("decoder.", "segmentation_head."),
    unused=re.compile(r"classification_head\..+"),  # of aux_params: a label for the whole image
    eps=_ENCODER.eps,
    align_corners="logits",
)
