from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edaformer.errors import InputError
from edaformer.export.rewrites import REWRITES, apply_rewrites, choose, defaults
from edaformer.export.rewrites.fold_batchnorm import fold_batchnorm
from edaformer.export.rewrites.fuse_argmax import FusedLabels
from edaformer.export.rewrites.fuse_per_branch import per_branch
from edaformer.export.rewrites.group_queries import GROUPS, GroupedQueryAttention
from edaformer.export.rewrites.map_mlp import MapMLP
from edaformer.export.rewrites.pad_hidden import pad_hidden
from edaformer.export.rewrites.pad_image import FourChannelConv
from edaformer.export.rewrites.project_values import _projected
from edaformer.export.rewrites.scale_query import ScaledQueryAttention
from edaformer.export.rewrites.unfuse_attention import UnfusedAttention, unfuse_attention
from edaformer.export.wrapper import Deployment, Geometry, Labels
from edaformer.families.attention import Attention, DotProductAttention, MixMLP
from edaformer.families.edaformer.attention import EmbeddingFreeAttention
from edaformer.families.fuse import Fuse, upsample
from tests.tiny import TINY, tiny_model

DEFAULT = defaults("fp16", "T")
TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]
exact = pytest.mark.parametrize(("dtype", "bound"), TOLERANCES)


def deployment(dtype: torch.dtype = torch.float32, align: int | None = 32) -> Deployment:
    """The tiny model at 122x113, only labels shipped."""
    made = Deployment(
        tiny_model(), Geometry.of((122, 113), align), image_input=True,
        outputs=("labels", "logits"), shipped=("labels",),
    )  # fmt: skip
    return made.to(dtype).eval()


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 122, 113, 3), dtype=torch.uint8, generator=generator)


def relative_error(made: torch.Tensor, expected: torch.Tensor) -> float:
    return float((made - expected).detach().abs().max() / expected.detach().abs().max())


def assert_the_same(plain: Deployment, rewritten: Deployment, bound: float) -> None:
    """Logits within ``bound``, and the labels of all pixels that it leaves decided."""
    labels, logits = rewritten(images())
    expected_labels, expected = plain(images())
    assert relative_error(logits[:, : expected.shape[1]], expected) < bound
    best = upsample(expected, plain.geometry.padded)[:, :, :122, :113].topk(2, dim=1).values
    decided = best[:, 0] - best[:, 1] > bound * expected.abs().max()
    assert (labels == expected_labels)[decided].all()
    assert decided.float().mean() > 0.99


@exact
def test_scaled_query_alone(dtype: torch.dtype, bound: float) -> None:
    q, k, v = (torch.randn(2, 3, n, 8, dtype=dtype) for n in (50, 7, 7))
    assert relative_error(ScaledQueryAttention()(q, k, v), DotProductAttention()(q, k, v)) < bound


@exact
@pytest.mark.parametrize("count", [64, 50, 49, 17, 1])
def test_grouped_queries_alone(dtype: torch.dtype, bound: float, count: int) -> None:
    q, k, v = (torch.randn(2, 1, n, 8, dtype=dtype) for n in (count, 7, 7))
    plain = DotProductAttention()
    assert relative_error(GroupedQueryAttention(plain)(q, k, v), plain(q, k, v)) < bound


@exact
@pytest.mark.parametrize("kind", [DotProductAttention, ScaledQueryAttention])
@pytest.mark.parametrize("spread", [0.01, 1, 100])
def test_unfused_attention_alone(
    dtype: torch.dtype, bound: float, kind: type[DotProductAttention], spread: float
) -> None:
    """Scores of up to a hundred thousand, whose exponentials no float holds, are as good as any."""
    q, k, v = (torch.randn(2, 3, n, 8, dtype=dtype) for n in (50, 7, 7))
    q, k = spread * q, spread * k
    assert relative_error(UnfusedAttention(kind())(q, k, v), kind()(q, k, v)) < bound


def test_queries_are_split_by_a_divisor_and_never_changed_in_number() -> None:
    class Spy(nn.Module):
        def forward(self, q: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            self.groups = q.shape[1]
            return q

    for count, groups in ((64, 4), (50, 2), (49, 7), (39, 3), (17, 1), (289, 1)):
        spy = Spy()
        GroupedQueryAttention(spy)(*(torch.zeros(1, 1, n, 8) for n in (count, 4, 4)))
        assert spy.groups == groups
    assert 1 not in GROUPS


@exact
def test_projected_values_alone(dtype: torch.dtype, bound: float) -> None:
    attention = EmbeddingFreeAttention(16, heads=1, ratio=2).to(dtype)
    projected = _projected(attention)
    assert projected is not None
    x = torch.randn(2, 64, 16, dtype=dtype)
    assert relative_error(projected(x, (8, 8)), attention(x, (8, 8))) < bound
    assert _projected(EmbeddingFreeAttention(16, heads=2, ratio=2)) is None


@exact
@pytest.mark.parametrize("relu", [True, False])
def test_padded_and_mapped_mlp_alone(dtype: torch.dtype, bound: float, relu: bool) -> None:
    mlp = MixMLP(16, 30, relu=relu).to(dtype)
    x = torch.randn(2, 35, 16, dtype=dtype)
    expected = mlp(x, (5, 7))
    assert relative_error(MapMLP(mlp)(x, (5, 7)), expected) < bound
    holder = deployment(dtype)
    holder.model.encoder.stage1.blocks[0].mlp = mlp
    pad_hidden(holder)
    assert (mlp.fc1.out_features, mlp.dwconv.in_channels, mlp.fc2.in_features) == (32, 32, 32)
    assert relative_error(mlp(x, (5, 7)), expected) < bound


@exact
def test_fuse_layer_alone(dtype: torch.dtype, bound: float) -> None:
    made = deployment(dtype)
    fuse = copy.deepcopy(made.model.decoder.fuse)
    assert isinstance(fuse, Fuse)
    _, w2, w3, w4 = TINY.widths
    c4, c3, c2 = (torch.randn(1, w, n, n, dtype=dtype) for w, n in ((w4, 2), (w3, 4), (w2, 8)))
    expected = fuse(c4, c3, c2)
    assert relative_error(per_branch(fuse)(c4, c3, c2), expected) < bound
    assert fold_batchnorm(made) == 1
    folded = made.model.decoder.fuse
    assert isinstance(folded.norm, nn.Identity)
    assert relative_error(folded(c4, c3, c2), expected) < bound
    both = per_branch(folded)
    assert relative_error(both(c4, c3, c2), expected) < bound


@exact
def test_four_channel_convolution_alone(dtype: torch.dtype, bound: float) -> None:
    conv = nn.Conv2d(3, 8, 7, 4, 3).to(dtype)
    image = torch.randn(2, 3, 33, 20, dtype=dtype)
    assert relative_error(FourChannelConv(conv)(image), conv(image)) < bound


@pytest.mark.parametrize("shape", [(2, 5, 12, 15), (1, 150, 3, 4), (1, 1, 2, 2), (3, 19, 1, 1)])
def test_fused_labels_are_the_labels(shape: tuple[int, int, int, int]) -> None:
    size = (8 * shape[2], 8 * shape[3])
    labels = Labels(Geometry(size, size))
    logits = torch.randn(shape, dtype=torch.float64)
    assert torch.equal(FusedLabels(labels, 8)(logits, size), labels(logits, size))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_labels_are_classes_or_255_where_logits_are_not_finite(value: float) -> None:
    logits = torch.randn(1, 5, 2, 3)
    logits[0, 2, 0, 1] = value
    made = FusedLabels(Labels(Geometry((16, 24), (16, 24))), 8)(logits, (16, 24))
    assert ((made < 5) | (made == 255)).all()


def test_no_label_head_is_rewritten_where_no_labels_leave() -> None:
    made = deployment()
    made.shipped = ("logits",)
    assert "fuse-argmax" not in apply_rewrites(made, DEFAULT)[1]


def test_of_equal_logits_the_first_class_wins() -> None:
    logits = torch.zeros(1, 6, 2, 3)
    logits[:, 2:] = 1.0
    assert (FusedLabels(Labels(Geometry((16, 24), (16, 24))), 8)(logits, (16, 24)) == 2).all()


@exact
@pytest.mark.parametrize("names", [*((name,) for name in REWRITES), DEFAULT, tuple(REWRITES)])
def test_the_whole_model_computes_the_same(
    names: tuple[str, ...], dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype)
    rewritten, applied = apply_rewrites(plain, names)
    assert applied == names
    assert_the_same(plain, rewritten, bound)


@exact
@pytest.mark.parametrize("names", [(), defaults("fp16", "T", "unfused")])
def test_with_unfused_attention_the_whole_model_computes_the_same(
    names: tuple[str, ...], dtype: torch.dtype, bound: float
) -> None:
    plain = deployment(dtype)
    rewritten, applied = apply_rewrites(plain, names, "unfused")
    assert applied == names
    attends = [type(m.attend) for m in rewritten.modules() if isinstance(m, Attention)]
    assert set(attends) == {UnfusedAttention}
    assert unfuse_attention(rewritten) == 0
    assert unfuse_attention(deployment(dtype)) == len(attends) == 10
    assert_the_same(plain, rewritten, bound)


def test_the_model_is_left_as_it_was() -> None:
    plain = deployment()
    rewritten, _ = apply_rewrites(plain, DEFAULT)
    assert {type(module) for module in plain.modules()} >= {nn.BatchNorm2d, MixMLP, Fuse}
    assert {type(module) for module in rewritten.modules()} & {
        nn.BatchNorm2d,
        MixMLP,
        Fuse,
    } == set()


def test_nothing_to_do_is_not_listed() -> None:
    rewritten, _ = apply_rewrites(deployment(), DEFAULT)
    _, applied = apply_rewrites(rewritten, DEFAULT)
    assert applied == ()


def test_an_odd_padded_size_keeps_the_resize() -> None:
    _, applied = apply_rewrites(deployment(align=None), DEFAULT)
    assert set(DEFAULT) - set(applied) == {"fuse-argmax"}


def test_fp32_graphs_keep_what_a_cpu_likes() -> None:
    slower = {"fuse-argmax", "group-queries", "pad-image"}
    assert set(DEFAULT) - set(defaults("fp32", "T")) == slower
    assert choose("default", (), precision="fp32", variant="T") == defaults("fp32", "T")
    assert set(DEFAULT) - set(defaults("fp16", "B")) == {"project-values"}


def test_unfused_attention_does_without_what_only_serves_fusing() -> None:
    assert set(DEFAULT) - set(defaults("fp16", "T", "unfused")) == {"group-queries"}
    how = {"precision": "fp16", "variant": "T", "attention": "unfused"}
    assert choose("default", (), **how) == defaults("fp16", "T", "unfused")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="group-queries has no effect"):
        choose("default", ("group-queries",), **how)  # type: ignore[arg-type]


def test_classes_are_padded_only_where_labels_alone_leave() -> None:
    made = deployment()
    made.shipped = ("labels", "logits")
    assert apply_rewrites(made, ("pad-classes",))[1] == ()
    made.shipped = ("labels",)
    rewritten, applied = apply_rewrites(made, ("pad-classes",))
    assert applied == ("pad-classes",)
    assert rewritten.model.decoder.classify.out_channels == 8


@pytest.mark.parametrize(
    ("text", "without", "names"),
    [
        ("default", (), DEFAULT),
        ("none", (), ()),
        ("all", (), tuple(REWRITES)),
        ("map-mlp,fold-batchnorm", (), ("fold-batchnorm", "map-mlp")),
        ("default", ("map-mlp",), tuple(name for name in DEFAULT if name != "map-mlp")),
    ],
)
def test_rewrites_are_chosen_by_name(
    text: str, without: tuple[str, ...], names: tuple[str, ...]
) -> None:
    assert choose(text, without, precision="fp16", variant="T") == names


@pytest.mark.parametrize(
    ("text", "without", "words"),
    [
        ("", (), "expected rewrites out of fold-batchnorm.* got ''"),
        ("faster", (), "got 'faster'"),
        ("default", ("faster",), "got 'faster'"),
        ("none", ("map-mlp",), "--no-rewrite map-mlp has no effect"),
        ("default", ("pad-classes",), "--no-rewrite pad-classes has no effect"),
    ],
)
def test_a_wrong_choice_is_refused(text: str, without: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose(text, without, precision="fp16", variant="T")
