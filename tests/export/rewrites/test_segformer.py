"""The same rewrites on a SegFormer: exact alone, together and on the whole model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edaformer.export.rewrites import REWRITES, apply_rewrites, defaults
from edaformer.export.rewrites.fold_batchnorm import fold_batchnorm
from edaformer.export.rewrites.fuse_argmax import FusedLabels
from edaformer.export.rewrites.fuse_per_branch import (
    ConvolvePerBranch,
    FusePerBranch,
    per_branch_embedded,
)
from edaformer.export.rewrites.group_queries import GroupedQueryAttention
from edaformer.export.rewrites.project_values import project_values
from edaformer.export.rewrites.unfuse_attention import UnfusedAttention
from edaformer.export.wrapper import Deployment, Geometry, Labels
from edaformer.families.attention import Attention
from edaformer.families.fuse import Convolve
from edaformer.families.mit.network import ReducedAttention
from edaformer.families.segformer.network import (
    ConvolveAndFuse,
    EmbedAndFuse,
)
from edaformer.families.segformer.sizes import SegFormerSizes
from tests.export.rewrites.test_rewrites import assert_the_same, exact, relative_error
from tests.tiny import SEGFORMER, shaken, tiny_segformer

ODD = SegFormerSizes(
    (15, 32, 80, 63), (1, 1, 1, 1), 20, heads=(1, 2, 5, 1), mlp_ratios=(3, 2, 2, 1)
)
MMSEG = replace(SEGFORMER, head="convolutions", eps=(1e-6, 1e-6))
ALIGNED = replace(MMSEG, align_corners="all")
SMP = replace(SEGFORMER, eps=(1e-6, 1e-5), align_corners="logits")


def deployment(
    dtype: torch.dtype = torch.float32, sizes: SegFormerSizes = SEGFORMER, align: int | None = 32
) -> Deployment:
    """A small SegFormer with ISR at 122x113, only labels shipped."""
    made = Deployment(
        tiny_segformer(sizes, factor=2), Geometry.of((122, 113), align), image_input=True,
        outputs=("labels", "logits"), shipped=("labels",),
    )  # fmt: skip
    return made.to(dtype).eval()


@exact
@pytest.mark.parametrize("sizes", [SEGFORMER, ODD, MMSEG, ALIGNED, SMP])
@pytest.mark.parametrize(
    "names", [*((name,) for name in REWRITES), defaults("fp16", "segformer"), tuple(REWRITES)]
)
def test_the_whole_model_computes_the_same(
    names: tuple[str, ...], sizes: SegFormerSizes, dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype, sizes)
    rewritten, applied = apply_rewrites(plain, names)
    idle = set() if sizes is ODD else {"pad-hidden"}  # the others' are multiples of eight
    assert set(names) - set(applied) == idle & set(names)
    assert_the_same(plain, rewritten, bound)


@exact
@pytest.mark.parametrize("names", [(), defaults("fp16", "segformer", "unfused")])
def test_with_unfused_attention_the_whole_model_computes_the_same(
    names: tuple[str, ...], dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype)
    rewritten, _ = apply_rewrites(plain, names, "unfused")
    attends = {type(m.attend) for m in rewritten.modules() if isinstance(m, Attention)}
    assert attends == {UnfusedAttention}
    assert_the_same(plain, rewritten, bound)


@exact
@pytest.mark.parametrize("folded", [False, True])
def test_embedded_branches_alone(dtype: torch.dtype, bound: float, folded: bool) -> None:
    fuse = shaken(EmbedAndFuse((40, 24, 16, 8), 12)).to(dtype).eval()
    maps = [
        torch.randn(2, c, n, n + 1, dtype=dtype) for c, n in ((40, 2), (24, 4), (16, 7), (8, 14))
    ]
    expected = fuse(*maps)
    if folded:
        fuse.conv = nn.utils.fuse_conv_bn_eval(fuse.conv, fuse.norm)
        fuse.norm = nn.Identity()
    made = per_branch_embedded(fuse)
    assert relative_error(made(*maps), expected) < bound
    assert made.c4.weight.shape == (12, 40, 1, 1)
    assert [made.get_submodule(name).bias is None for name in made.names] == [True] * 3 + [False]


@exact
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("folded", [False, True])
def test_convolved_branches_alone(
    dtype: torch.dtype, bound: float, folded: bool, aligned: bool
) -> None:
    fuse = shaken(ConvolveAndFuse((40, 24, 16, 8), 12, aligned=aligned)).to(dtype).eval()
    maps = [
        torch.randn(2, c, n, n + 1, dtype=dtype) for c, n in ((40, 2), (24, 4), (16, 7), (8, 14))
    ]
    expected = fuse(*maps)
    if folded:
        holder = nn.ModuleDict({"fuse": fuse})
        assert fold_batchnorm(holder) == 5  # type: ignore[arg-type]
        assert not any(isinstance(module, nn.BatchNorm2d) for module in holder.modules())
    made = ConvolvePerBranch(fuse)
    assert relative_error(made(*maps), expected) < bound
    assert made.c4.weight.shape == (12, 12, 1, 1)
    each = [module for module in made.modules() if isinstance(module, Convolve)]
    assert [one.conv.in_channels for one in each] == [40, 24, 16, 8]


@exact
def test_merged_values_alone(dtype: torch.dtype, bound: float) -> None:
    holder = nn.ModuleDict(
        {
            "one": ReducedAttention(16, heads=1, trained=2, ratio=4),
            "two": ReducedAttention(16, heads=2, trained=1, ratio=1),
        }
    ).to(dtype)
    x = torch.randn(2, 64, 16, dtype=dtype)
    expected = {name: attention(x, (8, 8)) for name, attention in holder.items()}
    assert project_values(holder) == 1  # type: ignore[arg-type]
    assert isinstance(holder["one"].proj, nn.Identity)
    assert isinstance(holder["two"].proj, nn.Linear)
    for name, attention in holder.items():
        assert relative_error(attention(x, (8, 8)), expected[name]) < bound
    assert project_values(holder) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 3])
def test_fused_labels_of_any_stride_are_the_labels(stride: int) -> None:
    size = (stride * 12, stride * 15)
    labels = Labels(Geometry(size, size))
    logits = torch.randn(2, 5, 12, 15, dtype=torch.float64)
    assert torch.equal(FusedLabels(labels, stride)(logits, size), labels(logits, size))


def test_what_is_rewritten() -> None:
    rewritten, _ = apply_rewrites(deployment(), defaults("fp16", "segformer"))
    kinds = [type(module) for module in rewritten.modules()]
    assert kinds.count(FusePerBranch) == 1
    assert kinds.count(GroupedQueryAttention) == 2
    assert not {nn.BatchNorm2d, EmbedAndFuse, Labels} & set(kinds)
    _, applied = apply_rewrites(rewritten, defaults("fp16", "segformer"))
    assert applied == ()


def test_an_odd_padded_size_keeps_the_resize() -> None:
    names = defaults("fp16", "segformer")
    _, applied = apply_rewrites(deployment(align=None), names)
    assert set(names) - set(applied) == {"pad-hidden", "fuse-argmax"}
