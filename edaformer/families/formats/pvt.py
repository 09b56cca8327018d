"""PVTv2 by transformers' names and by timm's; its release's are MiT's (``mit.released``)."""

from __future__ import annotations

from edaformer.families.formats.mit import BLOCKS
from edaformer.families.formats.naming import Module
from edaformer.families.formats.pairs import EncoderNames
from edaformer.families.mit.sizes import RELEASE_EPS

# As a backbone of transformers'; its configuration says one eps for every LayerNorm
HUGGING_PVT = EncoderNames(
    anchor="backbone.encoder.layers.0.patch_embedding.proj.weight",
    block="backbone.encoder.layers.{i}.blocks.{b}.",
    stages=(
        Module("backbone.encoder.layers.{i}.patch_embedding.proj.",
               ("encoder.stage{s}.embed.proj",)),
        Module("backbone.encoder.layers.{i}.patch_embedding.layer_norm.",
               ("encoder.stage{s}.embed.norm",)),
        Module("backbone.encoder.layers.{i}.layer_norm.", ("encoder.stage{s}.norm",)),
    ),
    blocks=(
        Module("layer_norm_1.", ("norm1",)),
        Module("attention.query.", ("attention.q",)),
        Module("attention.key.", ("attention.k",)),
        Module("attention.value.", ("attention.v",)),
        Module("attention.spatial_reduction.", ("attention.reduction.conv",)),
        Module("attention.layer_norm.", ("attention.reduction.norm",)),
        Module("attention.proj.", ("attention.proj",)),
        Module("layer_norm_2.", ("norm2",)),
        Module("mlp.dense1.", ("mlp.fc1",)),
        Module("mlp.dwconv.dwconv.", ("mlp.dwconv",)),
        Module("mlp.dense2.", ("mlp.fc2",)),
    ),
    eps=(1e-6, 1e-6),
)  # fmt: skip


def timm(prefix: str) -> EncoderNames:
    """As ``timm``'s pvt_v2.py names it with ``features_only``: ``stages_0.blocks.0.attn.kv``."""
    embeddings = [f"{prefix}patch_embed", *(f"{prefix}stages_{at}.downsample" for at in (1, 2, 3))]
    return EncoderNames(
        anchor=f"{prefix}stages_1.downsample.proj.weight",  # its Swin has patch_embed, too
        block=f"{prefix}stages_{{i}}.blocks.{{b}}.",
        stages=(
            *(
                Module(f"{theirs}.{part}.", (f"encoder.stage{number}.embed.{part}",))
                for number, theirs in enumerate(embeddings, start=1)
                for part in ("proj", "norm")
            ),
            Module(f"{prefix}stages_{{i}}.norm.", ("encoder.stage{s}.norm",)),
        ),
        blocks=(*BLOCKS[:-2], Module("mlp.dwconv.", ("mlp.dwconv",)), BLOCKS[-1]),
        eps=RELEASE_EPS,
    )
