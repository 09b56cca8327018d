"""The same rewrites on an FPN: exact alone, together and on the whole model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edaformer.export.rewrites import REWRITES, apply_rewrites, defaults
from edaformer.export.rewrites.smooth_per_branch import SmoothedPerBranch, smooth_per_branch
from edaformer.export.wrapper import Deployment, Geometry
from edaformer.families.convolutional.fpn import CONVOLUTIONS, FPN
from edaformer.families.convolutional.fpn_network import FPNBody
from edaformer.families.convolutional.network import ConvolutionalNetwork
from edaformer.families.convolutional.sizes import ConvolutionalSizes
from tests.export.rewrites.test_rewrites import assert_the_same, exact, relative_error
from tests.tiny import shaken

MMSEG = ConvolutionalSizes(
    (16, 32, 80, 64), (2, 1, 1, 1), FPN(32, 24), (1, 2, 5, 2), mlp_ratios=(2, 2, 2, 2)
)
SMP = replace(MMSEG, decoder=FPN(32, 64, smp=True), upsampling=4)
NOTHING_TO_DO = {  # every hidden width is a multiple of eight
    MMSEG: {"pad-hidden"}, SMP: {"pad-hidden", "fold-batchnorm", "fuse-per-branch"},
}  # fmt: skip


def deployment(
    dtype: torch.dtype, sizes: ConvolutionalSizes = MMSEG, align: int | None = 32
) -> Deployment:
    """A small FPN with ISR at 122x113, only labels shipped."""
    isr = sizes.places.isr(tuple(2 * ratio for ratio in sizes.places.base.ratios))
    made = Deployment(
        shaken(ConvolutionalNetwork(sizes, 5, isr)), Geometry.of((122, 113), align),
        image_input=True, outputs=("labels", "logits"), shipped=("labels",),
    )  # fmt: skip
    return made.to(dtype).eval()


@exact
@pytest.mark.parametrize("sizes", NOTHING_TO_DO, ids=["mmseg", "smp"])
@pytest.mark.parametrize(
    "names", [*((name,) for name in REWRITES), defaults("fp16", "fpn"), tuple(REWRITES)]
)
def test_the_whole_model_computes_the_same(
    names: tuple[str, ...], sizes: ConvolutionalSizes, dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype, sizes)
    rewritten, applied = apply_rewrites(plain, names)
    assert set(names) - set(applied) == NOTHING_TO_DO[sizes] & set(names)
    assert_the_same(plain, rewritten, bound)


@exact
@pytest.mark.parametrize("size", [(2, 2), (6, 10)])
def test_smoothing_alone(dtype: torch.dtype, bound: float, size: tuple[int, int]) -> None:
    """Biases of the convolutions as large as their weights, and every position is at a border."""
    torch.manual_seed(0)
    widths = (8, 12, 20, 16)
    body = FPNBody(widths, 24, 10, CONVOLUTIONS, groups=None).to(dtype).eval()
    for name, value in body.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(value)
    maps = [
        torch.randn(2, c, size[0] << s, size[1] << s, dtype=dtype)
        for s, c in enumerate(widths[::-1])
    ]
    with torch.inference_mode():
        assert relative_error(SmoothedPerBranch(body)(*maps), body(*maps)) < bound


def _rewritten(sizes: ConvolutionalSizes, align: int | None = 32) -> int:
    return smooth_per_branch(deployment(torch.float32, sizes, align))


def test_where_smoothing_is_left_as_it_is() -> None:
    """Maps that are no doubles (122 rows give 31 and 16), strides that do not double, wide maps."""
    assert _rewritten(MMSEG) == 1
    assert _rewritten(MMSEG, align=None) == 0
    assert _rewritten(replace(MMSEG, strides=(4, 4, 2, 1))) == 0
    assert _rewritten(replace(MMSEG, decoder=FPN(24, 24))) == 0
