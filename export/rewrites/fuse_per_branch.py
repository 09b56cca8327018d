"""Apply the fuse convolution to each branch before it is upsampled; add instead of concatenating.

Exact: a 1x1 convolution of a concatenation is the sum of 1x1 convolutions of its parts,
W [a; b; c] = Wa a + Wb b + Wc c, and a 1x1 convolution mixes channels while bilinear interpolation
mixes positions, each with the same weights everywhere, so the two commute. c4 is convolved on
1/16 of the positions, c3 on 1/4, and the concatenated map is never written.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.export.rewrites.replace import pointwise, replace
from edaformer.export.wrapper import Deployment
from edaformer.model.decoder import Fuse, upsample


class FusePerBranch(nn.Module):
    """relu(norm(up(Wc4 c4) + up(Wc3 c3) + Wc2 c2 + bias))."""

    def __init__(self, fuse: Fuse, channels: tuple[int, int, int]) -> None:
        super().__init__()
        weights = torch.split(fuse.conv.weight[:, :, 0, 0], list(channels), dim=1)
        biases = (None, None, fuse.conv.bias)  # once is enough
        self.c4, self.c3, self.c2 = map(pointwise, weights, biases)
        self.norm = fuse.norm

    def forward(self, c4: Tensor, c3: Tensor, c2: Tensor) -> Tensor:
        """Three maps (B, C_i, H_i, W_i) -> (B, width, H_2, W_2)."""
        size = (c2.shape[2], c2.shape[3])
        total = upsample(self.c4(c4), size) + upsample(self.c3(c3), size) + self.c2(c2)
        return functional.relu(self.norm(total))


def fuse_per_branch(deployment: Deployment) -> int:
    """Rewrite the decoder's fuse layer in place; returns how many."""
    _, c2, c3, c4 = deployment.model.variant.widths
    return replace(deployment, Fuse, lambda fuse: FusePerBranch(fuse, (c4, c3, c2)))
