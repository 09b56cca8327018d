"""The same rewrites on segmentation_models_pytorch's networks: exact on the whole model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edaformer.export.rewrites import REWRITES, apply_rewrites, defaults
from edaformer.export.wrapper import Deployment, Geometry
from edaformer.families.convolutional.sizes import ConvolutionalSizes
from tests.export.rewrites.test_rewrites import assert_the_same, exact
from tests.families.convolutional.smp_networks import DEEPLAB, UNET, UPERNET, tiny_network

# what finds nothing: every width is a multiple of eight, no fuse layer is SegFormer's; Unet
# classifies by 3x3
NOTHING = {"pad-hidden", "fuse-per-branch"}


def deployment(dtype: torch.dtype, sizes: ConvolutionalSizes) -> Deployment:
    """With ISR at 122x113, only labels shipped."""
    made = Deployment(
        tiny_network(sizes, factor=2), Geometry.of((122, 113), 32), image_input=True,
        outputs=("labels", "logits"), shipped=("labels",),
    )  # fmt: skip
    return made.to(dtype).eval()


@exact
@pytest.mark.parametrize(
    ("sizes", "nothing"), [(UNET, {"pad-classes"}), (UPERNET, set[str]()), (DEEPLAB, set())]
)
@pytest.mark.parametrize(
    "names", [*((name,) for name in REWRITES), defaults("fp16", "unet"), tuple(REWRITES)]
)
def test_the_whole_model_computes_the_same(
    names: tuple[str, ...], sizes: ConvolutionalSizes, nothing: set[str], dtype: torch.dtype,
    bound: float,
) -> None:  # fmt: skip
    plain = deployment(dtype, sizes)
    rewritten, applied = apply_rewrites(plain, names)
    assert set(names) - set(applied) == (NOTHING | nothing) & set(names)
    assert_the_same(plain, rewritten, bound)


@pytest.mark.parametrize(("sizes", "convolutions"), [(UNET, 10), (UPERNET, 12), (DEEPLAB, 9)])
def test_every_batchnorm_is_folded(sizes: ConvolutionalSizes, convolutions: int) -> None:
    plain = deployment(torch.float32, sizes)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in plain.modules()) == convolutions
    rewritten, _ = apply_rewrites(plain, ("fold-batchnorm",))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in rewritten.modules())


@exact
def test_a_padded_mlp_stays_dilated(dtype: torch.dtype, bound: float) -> None:
    plain = deployment(dtype, replace(DEEPLAB, widths=(15, 30, 45, 63), heads=(1, 1, 1, 1),
                                      mlp_ratios=(1, 1, 1, 1)))  # fmt: skip
    rewritten, applied = apply_rewrites(plain, ("pad-hidden",))
    assert applied == ("pad-hidden",)
    assert_the_same(plain, rewritten, bound)
