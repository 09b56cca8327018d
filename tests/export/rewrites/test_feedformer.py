"""The same rewrites on a FeedFormer: exact together and on the whole model."""

from __future__ import annotations

import pytest
import torch

from edaformer.export.rewrites import REWRITES, apply_rewrites, defaults
from edaformer.export.rewrites.group_queries import GroupedQueryAttention
from edaformer.export.rewrites.unfuse_attention import UnfusedAttention
from edaformer.export.wrapper import Deployment, Geometry
from edaformer.families.attention import Attention
from edaformer.families.feedformer.sizes import FeedFormerSizes
from tests.export.rewrites.test_rewrites import assert_the_same, exact
from tests.tiny import FEEDFORMER, FEEDFORMER_CITY, tiny_feedformer


def deployment(dtype: torch.dtype, sizes: FeedFormerSizes) -> Deployment:
    """A small FeedFormer with ISR at 122x113, only labels shipped."""
    made = Deployment(
        tiny_feedformer(sizes, factor=2), Geometry.of((122, 113), 32), image_input=True,
        outputs=("labels", "logits"), shipped=("labels",),
    )  # fmt: skip
    return made.to(dtype).eval()


@exact
@pytest.mark.parametrize("sizes", [FEEDFORMER, FEEDFORMER_CITY])
@pytest.mark.parametrize(
    "names", [*((name,) for name in REWRITES), defaults("fp16", "feedformer"), tuple(REWRITES)]
)
def test_the_whole_model_computes_the_same(
    names: tuple[str, ...], sizes: FeedFormerSizes, dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype, sizes)
    rewritten, applied = apply_rewrites(plain, names)
    assert set(names) - set(applied) == {"pad-hidden"} & set(names)  # all are multiples of eight
    assert_the_same(plain, rewritten, bound)


@exact
@pytest.mark.parametrize("sizes", [FEEDFORMER, FEEDFORMER_CITY])
def test_with_unfused_attention_the_whole_model_computes_the_same(
    sizes: FeedFormerSizes, dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype, sizes)
    rewritten, _ = apply_rewrites(plain, defaults("fp16", "feedformer", "unfused"), "unfused")
    attends = {type(m.attend) for m in rewritten.modules() if isinstance(m, Attention)}
    assert attends == {UnfusedAttention}
    assert_the_same(plain, rewritten, bound)


def test_only_the_first_stage_has_one_head() -> None:
    rewritten, _ = apply_rewrites(deployment(torch.float64, FEEDFORMER), ("group-queries",))
    grouped = [n for n, m in rewritten.named_modules() if isinstance(m, GroupedQueryAttention)]
    assert grouped == [f"model.encoder.stage1.blocks.{b}.attention.attend" for b in range(2)]
