"""MiT by the names of mix_transformer.py, NVlabs' file, which other projects have taken over.

LayerNorm's eps is 1e-6 in blocks and at the ends of stages, and PyTorch's 1e-5 elsewhere.
"""

from __future__ import annotations

import re

from edaformer.families.formats.naming import Module

# Decoders over it that have a reader of their own; SegFormer's reads whatever else has this encoder
OTHER_DECODERS = re.compile(r"(^|\.)decode_head\.attn_c[2-4]_c1\.")
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
