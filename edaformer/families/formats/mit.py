"""The encoder by the names of those who published it, and by mmsegmentation's."""

from __future__ import annotations

from edaformer.families.formats.naming import Module
from edaformer.families.formats.pairs import EncoderNames
from edaformer.families.mit.sizes import RELEASE_EPS


def released(prefix: str) -> EncoderNames:
    """``block1.0.attn.kv``: MiT's mix_transformer.py (NVlabs) and PVTv2's pvt_v2.py have the same.

    LayerNorm's eps is 1e-6 in blocks and at the ends of stages, and PyTorch's 1e-5 elsewhere.
    """
    return EncoderNames(
        anchor=f"{prefix}patch_embed1.proj.weight",
        block=f"{prefix}block{{s}}.{{b}}.",
        stages=(
            Module(f"{prefix}patch_embed{{s}}.proj.", ("encoder.stage{s}.embed.proj",)),
            Module(f"{prefix}patch_embed{{s}}.norm.", ("encoder.stage{s}.embed.norm",)),
            Module(f"{prefix}norm{{s}}.", ("encoder.stage{s}.norm",)),
        ),
        blocks=BLOCKS,
        eps=RELEASE_EPS,
    )


# in a block, by the names of both releases and of timm
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
RELEASED = released("backbone.")
# Names as its mit.py has them; it computes with an eps of 1e-6 in every LayerNorm
MMSEG_MIT = EncoderNames(
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
    eps=(1e-6, 1e-6),
)
