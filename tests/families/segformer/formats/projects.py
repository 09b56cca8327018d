"""SegFormer as other projects have it: NVlabs' names, and mmsegmentation's network.

mmsegmentation cannot be installed here: its network is written down in its own module names, so
that ``state_dict`` has its keys, and with torch.nn.MultiheadAttention, which it attends with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.families.segformer.pooled import pool_tokens
from tests.tiny import shaken

CLASSES = ("road", "sky", "tree", "car", "sign")
_LEAVES = (
    ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("attention.q_proj", "attn.q"),
    ("attention.o_proj", "attn.proj"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2"),
    ("mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
    ("attention.sequence_reduction.sequence_reduction", "attn.sr"),
    ("attention.sequence_reduction.layer_norm", "attn.norm"),
)  # fmt: skip
_HEAD = {"linear_fuse": "linear_fuse.conv", "batch_norm": "linear_fuse.bn",
         "classifier": "linear_pred"}  # fmt: skip

_SMP = {
    "backbone.": "encoder.",
    **{f"decode_head.linear_c{stage}.proj.": f"decoder.mlp_stage.{4 - stage}.linear."
       for stage in (1, 2, 3, 4)},
    "decode_head.linear_fuse.conv.": "decoder.fuse_stage.0.",
    "decode_head.linear_fuse.bn.": "decoder.fuse_stage.1.",
    "decode_head.linear_pred.": "segmentation_head.0.",
}  # fmt: skip


def nvlabs_state(hugging: Any) -> dict[str, Tensor]:
    """The weights of a SegformerForSemanticSegmentation under NVlabs' names."""
    state, made = hugging.state_dict(), {}
    for stage, blocks in enumerate(hugging.config.depths, start=1):
        theirs = f"segformer.stages.{stage - 1}"
        made |= _moved(
            state, f"{theirs}.patch_embeddings.proj", f"backbone.patch_embed{stage}.proj"
        )
        made |= _moved(
            state, f"{theirs}.patch_embeddings.layer_norm", f"backbone.patch_embed{stage}.norm"
        )
        made |= _moved(state, f"{theirs}.layer_norm", f"backbone.norm{stage}")
        for block in range(blocks):
            own, other = f"{theirs}.blocks.{block}", f"backbone.block{stage}.{block}"
            for name, leaf in _LEAVES:
                made |= _moved(state, f"{own}.{name}", f"{other}.{leaf}")
            for part in ("weight", "bias"):
                both = [state[f"{own}.attention.{name}_proj.{part}"] for name in "kv"]
                made[f"{other}.attn.kv.{part}"] = torch.cat(both)
        made |= _moved(
            state, f"decode_head.linear_projections.{stage - 1}.proj",
            f"decode_head.linear_c{stage}.proj",
        )  # fmt: skip
    for name, other in _HEAD.items():
        made |= _moved(state, f"decode_head.{name}", f"decode_head.{other}")
    classes, width = made["decode_head.linear_pred.weight"].shape[:2]
    made["decode_head.conv_seg.weight"] = torch.ones(classes, width, 1, 1)  # unused, and there
    made["decode_head.conv_seg.bias"] = torch.zeros(classes)
    return made


def smp_state(nvlabs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """NVlabs' names as segmentation_models_pytorch's, which has the same modules."""
    return {
        _as_smp(key): value for key, value in nvlabs.items() if "decode_head.conv_seg" not in key
    }


def _as_smp(key: str) -> str:
    for old, new in _SMP.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def as_nvlabs_computes(hugging: Any) -> Any:
    """transformers' network with NVlabs' eps: 1e-6 in blocks and at the ends of stages."""
    for stage in hugging.segformer.stages:
        stage.layer_norm.eps = 1e-6
        for block in stage.blocks:
            block.layernorm_before.eps = block.layernorm_after.eps = 1e-6
    return hugging


def save(path: Path, state: Mapping[str, Tensor], **beside: Any) -> Path:
    """As mmcv and mmengine do."""
    torch.save({"state_dict": dict(state), **beside}, path)
    return path


def _moved(state: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {
        f"{new}.{key.removeprefix(f'{old}.')}": value
        for key, value in state.items()
        if key.startswith(f"{old}.")
    }


class Mmseg(nn.Module):
    """EncoderDecoder of a MixVisionTransformer and a SegformerHead, in evaluation."""

    def __init__(
        self, width: int = 16, heads: tuple[int, ...] = (1, 2, 5, 4), depths: tuple[int, ...] =
        (1, 2, 1, 1), ratios: tuple[int, ...] = (8, 4, 2, 1), classes: int = 5, channels: int = 24,
        align_corners: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = [width * count for count in heads]
        self.backbone = nn.Module()
        self.backbone.layers = nn.ModuleList()
        before = 3
        for stage, own in enumerate(widths):
            patch = (7, 4) if stage == 0 else (3, 2)
            blocks = nn.ModuleList(
                _Block(own, heads[stage], ratios[stage]) for _ in range(depths[stage])
            )
            self.backbone.layers.append(
                nn.ModuleList([_Patches(before, own, *patch), blocks, nn.LayerNorm(own, eps=1e-6)])
            )
            before = own
        self.decode_head = _MmsegHead(widths, channels, classes, align_corners)

    def forward(self, image: Tensor) -> Tensor:
        maps = []
        for patches, blocks, norm in self.backbone.layers:  # type: ignore[misc]
            tokens, size = patches(image if not maps else maps[-1])
            for block in blocks:
                tokens = block(tokens, size)
            maps.append(_to_map(norm(tokens), size))
        return self.decode_head(maps)

    def pool(self, factors: tuple[int, ...]) -> None:
        """ISR."""
        for stage, factor in zip(self.backbone.layers, factors, strict=True):  # type: ignore[arg-type]
            for block in stage[1]:
                block.attn.factor = factor


class _Patches(nn.Module):
    def __init__(self, before: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(before, channels, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, feature: Tensor) -> tuple[Tensor, tuple[int, int]]:
        feature = self.projection(feature)
        size = (feature.shape[2], feature.shape[3])
        return self.norm(feature.flatten(2).transpose(1, 2)), size


class _Attention(nn.Module):
    factor = 1

    def __init__(self, channels: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(channels, heads, bias=True)  # tokens first
        self.ratio = ratio
        if ratio > 1:
            self.sr = nn.Conv2d(channels, channels, ratio, ratio)
            self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        keys = tokens
        if self.ratio > 1:
            keys = self.norm(self.sr(_to_map(tokens, size)).flatten(2).transpose(1, 2))
        reduced = (size[0] // self.ratio, size[1] // self.ratio)
        keys = pool_tokens(keys, reduced, self.factor).transpose(0, 1)
        return self.attn(query=tokens.transpose(0, 1), key=keys, value=keys)[0].transpose(0, 1)


class _Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(), nn.Dropout(0.0), nn.Conv2d(hidden, channels, 1), nn.Dropout(0.0),
        )  # fmt: skip

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        return self.layers(_to_map(tokens, size)).flatten(2).transpose(1, 2)


class _Block(nn.Module):
    def __init__(self, channels: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = _Attention(channels, heads, ratio)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.ffn = _Mlp(channels, 4 * channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens), size)
        return tokens + self.ffn(self.norm2(tokens), size)


class _ConvModule(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, feature: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(feature)))


class _MmsegHead(nn.Module):
    def __init__(self, widths: list[int], channels: int, classes: int, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.convs = nn.ModuleList(_ConvModule(width, channels) for width in widths)
        self.fusion_conv = _ConvModule(4 * channels, channels)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        large = [self._resize(conv(m), maps[0]) for conv, m in zip(self.convs, maps, strict=True)]
        return self.conv_seg(self.fusion_conv(torch.cat(large, dim=1)))

    def _resize(self, feature: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(
            feature, size=like.shape[2:], mode="bilinear", align_corners=self.align_corners
        )


def _to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, size)


def mmseg_model(seed: int = 0, **sizes: Any) -> Mmseg:
    """With seeded weights."""
    return shaken(Mmseg(**sizes), seed)


SMALLEST: dict[str, Any] = {
    "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2], "depths": [1, 1, 1, 1],
    "decoder_hidden_size": 8, "mlp_ratios": [1, 1, 1, 1],
}  # fmt: skip
HEADS_TOLD = {"config": "model = dict(backbone=dict(num_heads=[1, 1, 2, 2]))", "CLASSES": CLASSES}


def smallest_states() -> dict[str, dict[str, Tensor]]:
    """A few kilobytes of each format, for HEADS_TOLD."""
    from tests.families.segformer.hugging import hugging_model

    nvlabs = nvlabs_state(hugging_model(**SMALLEST))
    mmseg = mmseg_model(width=8, heads=(1, 1, 2, 2), depths=(1, 1, 1, 1), channels=8).state_dict()
    return {"nvlabs": nvlabs, "mmseg": mmseg, "smp": smp_state(nvlabs)}
