"""mmsegmentation 0.x and 1.x: ``backbone.layers.0.1.0.attn.attn``, ``decode_head.convs.0``.

Names as its mit.py and segformer_head.py have them. Its encoder computes MiT with an eps of 1e-6 in
every LayerNorm. Its decode head is another function than the paper's: a convolution, BatchNorm and
ReLU for each map in the place of a linear layer, and the maps lie from c1 to c4.
"""

from __future__ import annotations

import re

from edaformer.families.formats.naming import Format, Module

MMSEG = Format(
    title="mmsegmentation's SegFormer",
    signs=re.compile(
        r"(^|\.)layers\.[0-3]\.1\.\d+\.(attn\.attn\.(in_proj_|out_proj\.)|ffn\.layers\.)"
        r"|(^|\.)decode_head\.fusion_conv\."
    ),
    anchor="backbone.layers.0.0.projection.weight",
    block="backbone.layers.{i}.1.{b}.",
    stages=(
        Module("backbone.layers.{i}.0.projection.", ("encoder.stage{s}.embed.proj",)),
        Module("backbone.layers.{i}.0.norm.", ("encoder.stage{s}.embed.norm",)),
        Module("backbone.layers.{i}.2.", ("encoder.stage{s}.norm",)),
    ),
    blocks=(
        Module("norm1.", ("norm1",)),
        # of torch.nn.MultiheadAttention: queries, keys and values
        Module("attn.attn.in_proj_", ("attention.q", "attention.k", "attention.v")),
        Module("attn.attn.out_proj.", ("attention.proj",)),
        Module("attn.sr.", ("attention.reduction.conv",)),
        Module("attn.norm.", ("attention.reduction.norm",)),
        Module("norm2.", ("norm2",)),
        Module("ffn.layers.0.", ("mlp.fc1",), "pointwise"),
        Module("ffn.layers.1.", ("mlp.dwconv",)),
        Module("ffn.layers.4.", ("mlp.fc2",), "pointwise"),
    ),
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
    eps=(1e-6, 1e-6),
    head="convolutions",
)
