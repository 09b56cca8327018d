"""Give the first convolution a fourth input channel: blue once more, with weight zero.

Exact: the fourth channel's weights are zero, and zero times a finite number is zero. A tensor-core
convolution takes channels four at a time; TensorRT otherwise concatenates a channel of zeros to the
image. Repeating one is an index in the kernel that normalises the image anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.export.wrapper import Deployment


class FourChannelConv(nn.Conv2d):
    """A strided convolution of three channels, computed on four."""

    repeated: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        (kernel, _), (stride, _) = conv.kernel_size, conv.stride
        super().__init__(4, conv.out_channels, kernel, stride, kernel // 2, device="meta")
        assert conv.bias is not None
        weight = functional.pad(conv.weight, (0, 0, 0, 0, 0, 1))
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
        self.register_buffer("repeated", torch.tensor([0, 1, 2, 2]))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / stride, W / stride)."""
        return super().forward(image.index_select(1, self.repeated))


def pad_image(deployment: Deployment) -> int:
    """Rewrite the first patch embedding in place; returns how many convolutions changed."""
    embed = deployment.model.encoder.stages[0].embed
    if embed.proj.in_channels != 3:
        return 0
    embed.proj = FourChannelConv(embed.proj)
    return 1
