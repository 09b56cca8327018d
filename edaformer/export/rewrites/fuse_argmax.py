"""Upsample and take the argmax in one reduction: classes x height x width is never written.

Exact: bilinear interpolation is separable, so rows and columns may be upsampled one after the
other. With half-pixel centres and a factor of s, column s i + j of the result lies at
i + (j + 1/2) / s - 1/2: it is a sum of the columns i - 1, i and i + 1 with weights that depend on j
alone, and the clamp at the border repeats the first and last column. And argmax is the least index
whose value equals the greatest value, ties included. Where the greatest is NaN none equals it, and
the label is 255, which costs nothing; of 256 classes that is one.

Rows are upsampled by a Resize to C x H x W/s; the rest is element-wise arithmetic and two
reductions over C, which TensorRT-RTX 1.7 compiles into one kernel. A Resize and an ArgMax (TopK, to
TensorRT) write and read C x H x W numbers: 79 MB at 512x512 with 150 classes, most of the engine's
scratch memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edaformer.export.wrapper import Deployment, Labels
from edaformer.families.fuse import upsample
from edaformer.labels.no_class import NO_CLASS


class FusedLabels(Labels):
    """Labels by way of three columns and their weights."""

    before: Tensor  # weights of columns i - 1, i and i + 1, one for each j: (s,)
    here: Tensor
    after: Tensor

    def __init__(self, labels: Labels, stride: int) -> None:
        """``stride`` is s, pixels to a logit."""
        super().__init__(labels.geometry)
        offset = (torch.arange(stride, dtype=torch.float64) + 0.5) / stride - 0.5
        self.register_buffer("before", (-offset).clamp(min=0))
        self.register_buffer("here", 1 - offset.abs())
        self.register_buffer("after", offset.clamp(min=0))

    def winners(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, C, h, w) -> the winning classes (N, s h, s w), as floats."""
        batch, classes, _, _ = logits.shape
        values = logits[..., None] if len(self.here) == 1 else self._upsampled(logits, size[0])
        best = values.amax(dim=1, keepdim=True)  # values: (N, C, H, w, s)
        index = torch.arange(classes, dtype=logits.dtype).view(1, -1, 1, 1, 1)
        beaten = torch.full((), NO_CLASS, dtype=logits.dtype)
        return torch.where(values == best, index, beaten).amin(dim=1).reshape(batch, *size)

    def _upsampled(self, logits: Tensor, height: int) -> Tensor:
        """(N, C, h, w) -> (N, C, s h, w, s)."""
        columns = logits.shape[3]
        tall = upsample(logits, (height, columns))  # (N, C, H, w)
        here = torch.arange(columns)
        left = tall.index_select(3, (here - 1).clamp(min=0))
        right = tall.index_select(3, (here + 1).clamp(max=columns - 1))
        before, middle, after = (w.to(logits.dtype) for w in (self.before, self.here, self.after))
        return left[..., None] * before + tall[..., None] * middle + right[..., None] * after


def fuse_argmax(deployment: Deployment) -> int:
    """Replace the label head in place where the factor is whole; returns how many."""
    labels, geometry = deployment.labels, deployment.geometry
    stride = deployment.model.variant.logits_stride
    if geometry.dynamic or any(side % stride for side in geometry.padded):
        return 0
    if isinstance(labels, FusedLabels) or "labels" not in deployment.shipped:
        return 0
    deployment.labels = FusedLabels(labels, stride)
    return 1
