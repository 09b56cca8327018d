"""Semantic FPN as other projects have it, small, and ISR by pooling inside it.

mmsegmentation cannot be installed here: its neck and head are written down in its own module names,
over transformers' PVTv2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from tests.families.convolutional.hugging import SMALL
from tests.families.smp import smp_model
from tests.tiny import shaken

EPS = 1e-6, 1e-5  # of LayerNorm in the release's pvt_v2.py: in blocks and behind stages, elsewhere


class Mmseg(nn.Module):
    """EncoderDecoder of a PVTv2, an FPN and an FPNHead, in evaluation."""

    def __init__(
        self, width: int = 32, channels: int = 24, classes: int = 5, **backbone: list[int]
    ) -> None:
        from transformers import PvtV2Backbone, PvtV2Config

        super().__init__()
        names = [f"stage{n}" for n in (1, 2, 3, 4)]
        config = PvtV2Config(**{**SMALL, **backbone}, out_features=names)
        self.backbone = PvtV2Backbone(config)
        for name, module in self.backbone.named_modules():
            if name.endswith(("patch_embedding.layer_norm", "attention.layer_norm")):
                module.eps = EPS[1]
        self.neck = _Neck(config.hidden_sizes, width)
        self.decode_head = _Head(width, channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits at a quarter of the image's size."""
        return self.decode_head(self.neck(self.backbone(image).feature_maps))


class _ConvModule(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, *, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not norm)
        if norm:
            self.bn = nn.BatchNorm2d(outputs)

    def forward(self, feature: Tensor) -> Tensor:
        feature = self.conv(feature)
        return functional.relu(self.bn(feature)) if hasattr(self, "bn") else feature


class _Neck(nn.Module):
    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(_ConvModule(c, width, 1, norm=False) for c in widths)
        self.fpn_convs = nn.ModuleList(_ConvModule(width, width, 3, norm=False) for _ in widths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        laterals = [conv(m) for conv, m in zip(self.lateral_convs, maps, strict=True)]
        for at in range(3, 0, -1):
            size = laterals[at - 1].shape[2:]
            laterals[at - 1] = laterals[at - 1] + functional.interpolate(laterals[at], size)
        return [conv(m) for conv, m in zip(self.fpn_convs, laterals, strict=True)]


class _Head(nn.Module):
    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList()
        for stage in range(4):
            made: list[nn.Module] = []
            for done in range(max(1, stage)):
                made.append(_ConvModule(channels if done else width, channels, 3, norm=True))
                if stage:
                    made.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            self.scale_heads.append(nn.Sequential(*made))
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        first, *others = [head(m) for head, m in zip(self.scale_heads, maps, strict=True)]
        for other in others:
            first = first + functional.interpolate(other, first.shape[2:], mode="bilinear")
        return self.conv_seg(first)


def mmseg_fpn(**sizes: Any) -> Mmseg:
    """Of five classes with seeded weights; ``sizes`` are Mmseg's and PvtV2Config's."""
    return shaken(Mmseg(**sizes))


def smp_fpn(encoder: str = "mit_b0", **changes: Any) -> Any:
    """Of five classes with seeded weights; ``tu-`` encoders are timm's."""
    options = {"decoder_pyramid_channels": 48, "decoder_segmentation_channels": 64, **changes}
    return smp_model(kind="FPN", encoder=encoder, **options)
