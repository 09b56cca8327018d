"""NVlabs' release: ``backbone.block1.0.attn.kv``, ``decode_head.linear_c4``.

Names as transformers' conversion script documents them. Computed as mix_transformer.py's MiT:
LayerNorm's eps is 1e-6 in blocks and at the ends of stages, and PyTorch's 1e-5 elsewhere.
"""

from __future__ import annotations

import re

from edaformer.families.segformer.formats.naming import Format, Module

EPS = (1e-6, 1e-5)
BLOCKS = (
    Module("norm1.", ("norm1",)),
    Module("attn.q.", ("attention.q",)),
    Module("attn.kv.", ("attention.k", "attention.v")),
    Module("attn.sr.", ("attention.reduction.conv",)),
    Module("attn.norm.", ("attention.reduction.norm",)),
    Module("attn.proj.", ("attention.proj",)),
    Module("norm2.", ("norm2",)),
    Module("mlp.fc1.", ("mlp.fc1",)),
    Module("mlp.dwconv.dwconv.", ("mlp.dwconv",)),
    Module("mlp.fc2.", ("mlp.fc2",)),
)


def stages(prefix: str) -> tuple[Module, ...]:
    """The modules of a stage that are in no block."""
    return (
        Module(f"{prefix}patch_embed{{s}}.proj.", ("encoder.stage{s}.embed.proj",)),
        Module(f"{prefix}patch_embed{{s}}.norm.", ("encoder.stage{s}.embed.norm",)),
        Module(f"{prefix}norm{{s}}.", ("encoder.stage{s}.norm",)),
    )


NVLABS = Format(
    title="NVlabs' SegFormer",
    signs=re.compile(
        r"(^|\.)backbone\.block[1-4]\.\d+\.attn\.(q|kv)\.|(^|\.)decode_head\.linear_c[1-4]\."
    ),
    anchor="backbone.patch_embed1.proj.weight",
    block="backbone.block{s}.{b}.",
    stages=stages("backbone."),
    blocks=BLOCKS,
    branches=(Module("decode_head.linear_c{s}.proj.", ("decoder.fuse.embed.{j}",)),),
    heads=(
        Module("decode_head.linear_fuse.conv.", ("decoder.fuse.conv",)),
        Module("decode_head.linear_fuse.bn.", ("decoder.fuse.norm",)),
        Module("decode_head.linear_pred.", ("decoder.classify",)),
    ),
    decoder=("decode_head.",),
    # every decode head of mmsegmentation's has a conv_seg; this one does not use it
    unused=re.compile(r"decode_head\.conv_seg\.(weight|bias)|auxiliary_head\..+"),
    eps=EPS,
)
