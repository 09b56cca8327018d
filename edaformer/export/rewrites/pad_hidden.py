"""Pad the hidden width of every MLP with zeros to a multiple of eight.

Exact: the added rows of fc1 and of the depthwise convolution are zero, bias included, so the added
channels hold relu(0) = 0 and gelu(0) = 0, and the added columns of fc2 are zero. EDAFormer-T's
widths are 121, 243, 486 and 972; tensor cores want multiples of eight half-precision numbers, and
TensorRT otherwise cuts and pads around every product.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edaformer.export.rewrites.replace import depthwise, linear
from edaformer.export.wrapper import Deployment
from edaformer.families.attention import MixMLP

GRANULE = 8  # half-precision numbers in the 16 bytes that one tensor-core load takes


def pad_hidden(deployment: Deployment) -> int:
    """Pad in place; returns how many MLPs changed."""
    odd = [
        module
        for module in deployment.modules()
        if isinstance(module, MixMLP) and module.fc1.out_features % GRANULE
    ]
    for mlp in odd:
        _pad(mlp, -mlp.fc1.out_features % GRANULE)
    return len(odd)


def _pad(mlp: MixMLP, extra: int) -> None:
    mlp.fc1 = linear(_rows(mlp.fc1.weight, extra), _rows(mlp.fc1.bias, extra))
    assert mlp.dwconv.bias is not None
    weight, bias = (_rows(part, extra) for part in (mlp.dwconv.weight, mlp.dwconv.bias))
    mlp.dwconv = depthwise(weight, bias, mlp.dwconv.dilation[0])
    mlp.fc2 = linear(functional.pad(mlp.fc2.weight, (0, extra)), mlp.fc2.bias)


def _rows(weight: Tensor, extra: int) -> Tensor:
    return torch.cat([weight, weight.new_zeros(extra, *weight.shape[1:])])
