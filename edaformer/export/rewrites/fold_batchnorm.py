"""Fold BatchNorm into the convolution before it.

Exact in evaluation mode: y = (W x - mu) g / sqrt(var + eps) + b is linear in x, so it is a
convolution with weights W g / sqrt(var + eps) and bias b - mu g / sqrt(var + eps). A half-precision
BatchNorm with FP32 parameters makes TensorRT split it into some twenty layers.
"""

from __future__ import annotations

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from edaformer.export.wrapper import Deployment
from edaformer.families.fuse import Convolve, Fuse


def fold_batchnorm(deployment: Deployment) -> int:
    """Fold the decoder's BatchNorm in place; returns how many were folded."""
    count = 0
    for module in deployment.modules():
        if isinstance(module, (Fuse, Convolve)) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
            count += 1
    return count
