"""Pad the classes to a multiple of eight with copies of the first, where only labels leave.

Exact: a copy's logits equal class 0's everywhere, and of equal logits argmax takes the first, so a
copy never wins. Off by default: TensorRT-RTX 1.7 builds the same kernels either way and takes 1 %
more scratch memory (docs/rewrites.md).
"""

from __future__ import annotations

import torch

from edaformer.export.rewrites.pad_hidden import GRANULE
from edaformer.export.rewrites.replace import pointwise
from edaformer.export.wrapper import Deployment


def pad_classes(deployment: Deployment) -> int:
    """Pad the last convolution in place; returns how many changed."""
    decoder = deployment.model.decoder
    extra = -decoder.classify.out_channels % GRANULE
    if not extra or deployment.shipped != ("labels",) or decoder.classify.kernel_size != (1, 1):
        return 0
    weight, bias = decoder.classify.weight[:, :, 0, 0], decoder.classify.bias
    assert bias is not None
    decoder.classify = pointwise(
        torch.cat([weight, weight[:1].expand(extra, -1)]), torch.cat([bias, bias[:1].expand(extra)])
    )
    return 1
