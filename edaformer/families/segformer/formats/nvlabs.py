"""NVlabs' release: ``backbone.block1.0.attn.kv``, ``decode_head.linear_c4``.

Names as transformers' conversion script documents them.
"""

from __future__ import annotations

import re

from edaformer.families.formats.mit import RELEASED
from edaformer.families.formats.naming import Format, Module

NVLABS = Format(
    title="NVlabs' SegFormer",
    signs=re.compile(
        r"(^|\.)backbone\.block[1-4]\.\d+\.attn\.(q|kv)\.|(^|\.)decode_head\.linear_c[1-4]\."
    ),
    anchor=RELEASED.anchor,
    block=RELEASED.block,
    stages=RELEASED.stages,
    blocks=RELEASED.blocks,
    branches=(Module("decode_head.linear_c{s}.proj.", ("decoder.fuse.embed.{j}",)),),
    heads=(
        Module("decode_head.linear_fuse.conv.", ("decoder.fuse.conv",)),
        Module("decode_head.linear_fuse.bn.", ("decoder.fuse.norm",)),
        Module("decode_head.linear_pred.", ("decoder.classify",)),
    ),
    decoder=("decode_head.",),
    # every decode head of mmsegmentation's has a conv_seg; this one does not use it
    unused=re.compile(r"decode_head\.conv_seg\.(weight|bias)|auxiliary_head\..+"),
    eps=RELEASED.eps,
)
