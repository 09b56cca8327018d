"""Apply the fuse convolution to each branch before it is upsampled; add instead of concatenating.

Exact: a 1x1 convolution of a concatenation is the sum of 1x1 convolutions of its parts,
W [a; b; c] = Wa a + Wb b + Wc c, and a 1x1 convolution mixes channels while bilinear interpolation
mixes positions, each with the same weights everywhere, so the two commute. c4 is convolved on
1/16 of the positions, c3 on 1/4, and the concatenated map is never written.

SegFormer has a linear layer V x + v before each branch's part: W (V x + v) = (W V) x + W v is one
1x1 convolution, from C_i channels instead of by way of the decoder's width. mmsegmentation's decode
head has a ReLU between the two, through which nothing can be merged: there each branch keeps its
own convolution, and what follows the ReLU alone is applied before upsampling.

FPN's pyramid is rewritten by the same algebra (smooth_per_branch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.export.rewrites.replace import pointwise, replace
from edaformer.export.rewrites.smooth_per_branch import smooth_per_branch
from edaformer.export.wrapper import Deployment
from edaformer.families.fuse import Fuse, upsample
from edaformer.families.segformer.network import ConvolveAndFuse, EmbedAndFuse


class FusePerBranch(nn.Module):
    """relu(norm(up(Wc4 c4) + up(Wc3 c3) + Wc2 c2 + bias)), of any number of branches."""

    def __init__(self, weights: Sequence[Tensor], fuse: Fuse, bias: Tensor | None) -> None:
        """``weights`` (width, C_i) of c4, c3 and so on, out of ``fuse``, and its bias."""
        super().__init__()
        self.aligned = fuse.aligned
        self.names = [f"c{4 - index}" for index in range(len(weights))]
        for name, weight in zip(self.names, weights, strict=True):
            once = bias if name == self.names[-1] else None
            self.add_module(name, pointwise(weight, once))
        self.norm = fuse.norm

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (B, C_i, H_i, W_i), the largest last -> (B, width, H, W) of that one."""
        size = (maps[-1].shape[2], maps[-1].shape[3])
        made = [self.get_submodule(n)(m) for n, m in zip(self.names, maps, strict=True)]
        large = [upsample(feature, size, aligned=self.aligned) for feature in made[:-1]]
        return functional.relu(self.norm(sum(large[1:], large[0]) + made[-1]))


class ConvolvePerBranch(FusePerBranch):
    """The same, of relu(norm(convolution)) of each map."""

    def __init__(self, fuse: ConvolveAndFuse) -> None:
        super().__init__(_parts(fuse), fuse, fuse.conv.bias)
        self.embed = fuse.embed

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (B, C_i, H_i, W_i), the largest last -> (B, width, H, W) of that one."""
        return super().forward(*(embed(m) for embed, m in zip(self.embed, maps, strict=True)))


def fuse_per_branch(deployment: Deployment) -> int:
    """Rewrite the decoder's fuse layer in place; returns how many."""
    plain = replace(deployment, Fuse, per_branch)
    embedded = replace(deployment, EmbedAndFuse, per_branch_embedded)
    convolved = replace(deployment, ConvolveAndFuse, ConvolvePerBranch)
    return plain + embedded + convolved + smooth_per_branch(deployment)


def per_branch(fuse: Fuse) -> FusePerBranch:
    """The branches of EDAFormer's."""
    return FusePerBranch(_parts(fuse), fuse, fuse.conv.bias)


def per_branch_embedded(fuse: EmbedAndFuse) -> FusePerBranch:
    """The branches of SegFormer's, their linear layers included."""
    layers = [cast(nn.Linear, layer) for layer in fuse.embed]
    pairs = list(zip(_parts(fuse), layers, strict=True))
    bias = torch.stack([part @ layer.bias for part, layer in pairs]).sum(dim=0)
    bias = bias if fuse.conv.bias is None else bias + fuse.conv.bias
    return FusePerBranch([part @ layer.weight for part, layer in pairs], fuse, bias)


def _parts(fuse: Fuse) -> Sequence[Tensor]:
    """The convolution's weights (width, C_i) on each branch."""
    return torch.split(fuse.conv.weight[:, :, 0, 0], list(fuse.channels), dim=1)
