"""mmsegmentation 0.x and 1.x: ``backbone.layers.0.1.0.attn.attn``, ``decode_head.convs.0``.

Names as its mit.py and segformer_head.py have them. Its decode head is another function than the
paper's: a convolution, BatchNorm and ReLU for each map in the place of a linear layer, and the maps
lie from c1 to c4.
"""

from __future__ import annotations

import re

from edaformer.families.formats.mit import MMSEG_MIT
from edaformer.families.formats.naming import Format, Module

MMSEG = Format(
    title="mmsegmentation's SegFormer",
    signs=re.compile(
        r"(^|\.)layers\.[0-3]\.1\.\d+\.(attn\.attn\.(in_proj_|out_proj\.)|ffn\.layers\.)"
        r"|(^|\.)decode_head\.fusion_conv\."
    ),
    anchor=MMSEG_MIT.anchor,
    block=MMSEG_MIT.block,
    stages=MMSEG_MIT.stages,
    blocks=MMSEG_MIT.blocks,
    branches=(
        Module("decode_head.convs.{i}.conv.", ("decoder.fuse.embed.{j}.conv",)),
        Module("decode_head.convs.{i}.bn.", ("decoder.fuse.embed.{j}.norm",)),
    ),
    heads=(
        Module("decode_head.fusion_conv.conv.", ("decoder.fuse.conv",), "turned"),
        Module("decode_head.fusion_conv.bn.", ("decoder.fuse.norm",)),
        Module("decode_head.conv_seg.", ("decoder.classify",)),
    ),
    decoder=("decode_head.",),
    unused=re.compile(r"auxiliary_head\..+"),
    eps=MMSEG_MIT.eps,
    head="convolutions",
)
