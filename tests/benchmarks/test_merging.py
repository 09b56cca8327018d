"""Token merging is what its file says, and docs/merging.md is the record."""

from __future__ import annotations

import re
import warnings
from typing import Any

import merging
import pytest
import rewrites
import segformer
import torch
from token_merging import HQ, QUARTER, Merging, Where
from token_merging.attention import MergedAttention, SteppedAttention, give_back, match, merge
from torch import Tensor
from torch.nn import functional

from edaformer.families.attention import to_map, to_tokens
from edaformer.families.mit.network import ReducedAttention
from edaformer.families.network import Network
from edaformer.families.segformer.sizes import SEGFORMERS
from edaformer.families.table import FAMILIES
from edaformer.isr import ISR
from edaformer.machine import backend
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "merging.md"
B0 = SEGFORMERS["segformer-b0"]
SIZE = (6, 7)  # of a map whose last cells are no whole ones
HOWS = [Merging(0.0, 2), Merging(0.4, 2), Merging(0.9, 2, first=1), Merging(0.6, 4),
        Merging(1.0, 4)]  # fmt: skip


def tokens(batch: int = 2, channels: int = 8) -> Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.randn(batch, SIZE[0] * SIZE[1], channels, generator=made, dtype=torch.float64)


def random_network(isr: str = "base", classes: int = 11) -> Network:
    torch.manual_seed(0)
    made = FAMILIES["segformer"].network(B0, classes, ISR.parse(isr, B0.places))
    return made.eval().requires_grad_(requires_grad=False)


def groups(of: Tensor, how: Merging) -> list[set[int]]:
    """Which tokens (N, C) come together, edge by edge."""
    sources, destinations = how.divide(SIZE)
    edges = []
    for source in sources:
        alike = [
            float(functional.cosine_similarity(of[source], of[d], dim=0)) for d in destinations
        ]
        edges.append((max(alike), source, destinations[alike.index(max(alike))]))
    taken = sorted(edges, reverse=True)[: round(how.share * len(of))]
    into = {destination: {destination} for destination in destinations}
    for _, source, destination in taken:
        into[destination].add(source)
    alone = set(sources) - {source for _, source, _ in taken}
    return [*into.values(), *({source} for source in alone)]


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_the_most_alike_merge_into_their_mean_which_all_of_them_get_back(how: Merging) -> None:
    given = tokens()
    found = match(given, SIZE, how)
    merged = merge(given, found)
    for image, few, back in zip(given, merged, give_back(merged, found), strict=True):
        expected = groups(image, how)
        assert len(few) == len(expected) == how.kept(SIZE) + len(found.destinations)
        for group in (list(one) for one in expected):
            average = image[group].mean(dim=0)
            torch.testing.assert_close(back[group], average.expand(len(group), -1))
            assert int(torch.isclose(few, average).all(dim=1).sum()) == 1  # has a token of its own


def test_copies_merge_without_loss() -> None:
    sources, destinations = (how := Merging(1.0, 2)).divide(SIZE)
    given = tokens()
    given[:, sources] = given[:, destinations].repeat(1, 3, 1)[:, : len(sources)]
    found = match(given, SIZE, how)
    torch.testing.assert_close(give_back(merge(given, found), found), given)


@pytest.mark.parametrize(("heads", "trained"), [(1, 2), (2, 1)])
def test_where_nothing_merges_it_is_plain_attention(heads: int, trained: int) -> None:
    torch.manual_seed(0)
    plain = ReducedAttention(8, heads=heads, trained=trained, ratio=trained).double()
    none = Merging(0.0, 2)
    made = MergedAttention(plain, keys=none, queries=none)
    torch.testing.assert_close(made(tokens(), SIZE), plain(tokens(), SIZE))
    bare = MergedAttention(plain, keys=None, queries=None)
    assert torch.equal(bare(tokens(), SIZE), plain(tokens(), SIZE))


def test_merged_attention_is_attention_of_merged_tokens() -> None:
    torch.manual_seed(0)
    plain = ReducedAttention(8, heads=2, trained=1, ratio=1).double()
    keys, queries = Merging(0.6, 2), Merging(0.5, 4)
    x = tokens()
    k, q = match(x, SIZE, keys), match(x, SIZE, queries)
    heads = [plain.split_heads(one) for one in
             (plain.q(merge(x, q)), plain.k(merge(x, k)), plain.v(merge(x, k)))]  # fmt: skip
    attended = plain.proj(plain.join_heads(plain.attend(*heads)))
    made = MergedAttention(plain, keys=keys, queries=queries)(x, SIZE)
    torch.testing.assert_close(made, give_back(attended, q))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("trained", [1, 2])
def test_steps_take_one_key_of_every_cell_and_drop_the_others(trained: int, first: int) -> None:
    torch.manual_seed(0)
    plain = ReducedAttention(8, heads=1, trained=trained, ratio=trained).double()
    feature = torch.randn(2, 8, 8, 12, dtype=torch.float64)
    keys = to_map(plain.reduce(feature), (8 // trained, 12 // trained))
    plain.ratio = 2 * trained
    torch.testing.assert_close(
        SteppedAttention(plain, first=first).reduce(feature),
        to_tokens(keys[:, :, first::2, first::2]),
    )


def test_multiply_adds_of_merging_are_all_that_it_adds() -> None:
    """A quarter of the keys by merging is ISR's quarter, and the merging itself."""
    size = (128, 192)
    made = merging.attending(random_network(), merging.Case(where=QUARTER, how="merged"))
    extra = merging.merging_macs(B0, size, QUARTER)
    assert segformer.multiply_adds(made, size) - extra == segformer.multiply_adds(
        random_network("16,8,4,2"), size
    )


def test_multiply_adds_of_merged_queries() -> None:
    size, queries = (128, 192), Merging(0.8, 4)
    where = Where(queries=(None, None, queries, None))
    made = merging.attending(random_network(), merging.Case(where=where, how="merged"))
    saved = segformer.multiply_adds(random_network(), size) - segformer.multiply_adds(made, size)
    total, keys, channels = 8 * 12, 4 * 6, 160
    fewer = total - (queries.kept((8, 12)) + len(queries.divide((8, 12))[1]))
    blocks = 2 * (2 * fewer * channels**2 + 2 * fewer * keys * channels)
    assert saved == blocks - merging.merging_macs(B0, size, where)


def test_the_page_is_the_record() -> None:
    assert rewrites.between(PAGE)[1] == merging.tables(merging.read(merging.RECORDS)), (
        "run: python benchmarks/merging.py --page docs/merging.md"
    )


@pytest.fixture(name="pairs")
def _pairs() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What merges, and the ISR beside it."""
    record = merging.read(merging.RECORDS)
    beside = {"SegFormer++ HQ": "ISR `16,8,4,1`", "keys merged to a quarter": "ISR `16,8,4,2`",
              "SegFormer++ fast": "ISR `32,16,4,2`"}  # fmt: skip
    return [(record[one], record[other]) for one, other in beside.items()]


def test_the_first_sentence(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    text = re.sub(r"\s+", " ", PAGE.read_text())
    both, base = list(zip(*pairs, strict=True)), merging.read(merging.RECORDS)["base"]
    lost = " instead of ".join(ends([line["miou"] for line in lines]) for lines in both)
    assert f"{ends([a['miou'] - b['miou'] for a, b in pairs])} points" in text
    assert f"({lost}; base {base['miou']:.1f})" in text
    kernels = (
        ends([line[size]["kernels"] for line in lines for size in merging.SIZES], "d")
        for lines in both
    )
    assert "{} kernels instead of {} ".format(*kernels) in text
    more = [100 * (a[s]["traffic"] / b[s]["traffic"] - 1) for a, b in pairs for s in merging.SIZES]
    assert f"moves {ends(more, '.0f')} % more memory" in text


def test_what_else_the_page_says(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    text = re.sub(r"\s+", " ", PAGE.read_text())
    base = merging.read(merging.RECORDS)["base"]
    for one, beside in pairs:
        assert one["360x480"]["macs"] == pytest.approx(beside["360x480"]["macs"], rel=0.01)
        assert all(one[size]["traffic"] > base[size]["traffic"] for size in merging.SIZES)
    made = merging.read(merging.RECORDS)
    agree = [100 * made[name]["agreement"] for name, case in merging.CASES.items()
             if case.how == "merged"]  # fmt: skip
    assert f"agree on {ends(agree, '.2f')} % instead of" in text


def test_what_the_matching_is_worth() -> None:
    text = re.sub(r"\s+", " ", PAGE.read_text())
    made = merging.read(merging.RECORDS)
    miou = {name: f"{line['miou']:.2f}" for name, line in made.items() if "miou" in line}
    merged, chosen, second = "keys merged to a quarter", "every second key", ", from the second on"
    assert miou[merged] == miou[chosen]
    assert f"(both {miou[chosen]})" in text
    assert f"({miou[chosen + second]} and {miou[merged + second]})" in text
    behind = made[merged + second]["miou"] - made[chosen + second]["miou"]
    assert f"{behind:.1f} points behind" in text
    isr = made["ISR `16,8,4,2`"]
    assert f"above ISR's average ({isr['miou']:.2f}) either way" in text
    assert made[chosen + second]["miou"] > isr["miou"]
    for size in merging.SIZES:
        assert f"takes {made[chosen][size]['kernels']} kernels" in text
        assert made[chosen][size]["traffic"] < isr[size]["traffic"]


def test_the_export_that_is_refused() -> None:
    text = re.sub(r"\s+", " ", PAGE.read_text())
    made = merging.read(merging.RECORDS)
    refused = [name for name in merging.CASES if made[name]["export_refused"]]
    assert refused == ["SegFormer++ HQ"]
    refusal = made["SegFormer++ HQ"]["export_refused"]
    said = re.search(r"\(([\d.]+)%\) flipped, with top two logits (.* explains [\d.]+);", refusal)
    assert said is not None
    assert f"flips {said[1]} % of the pixels, with top two logits {said[2]}," in text


def ends(values: list[float], form: str = ".1f") -> str:
    """``least to most``."""
    return f"{min(values):{form}} to {max(values):{form}}"


@pytest.mark.slow
def test_torch_writes_a_scattered_mean_as_no_reduction() -> None:
    """What the page warns of; where this fails, its sentence has to go."""

    class ScatteredMean(torch.nn.Module):
        def forward(self, into: Tensor, index: Tensor, given: Tensor) -> Tensor:
            return into.scatter_reduce(1, index, given, reduce="mean")

    example = torch.zeros(1, 8), torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            ScatteredMean().eval(), example, dynamo=True, opset_version=18, verbose=False
        )
    assert made is not None
    (node,) = [one for one in made.model.graph if one.op_type == "ScatterElements"]
    assert node.attributes["reduction"].as_string() == "none"


@pytest.mark.slow
def test_an_engine_is_as_recorded() -> None:
    """Random weights give the same engine: every attention fused behind the merging."""
    same_builder()
    case = merging.CASES["SegFormer++ HQ"]
    made = merging.engine(merging.attending(random_network(), case), merging.SIZE, HQ)
    assert made["unfused"] == 0
    assert merging.cells(made) == merging.cells(
        merging.read(merging.RECORDS)["SegFormer++ HQ"]["360x480"]
    )


@pytest.mark.slow
def test_operators_are_answered_as_recorded() -> None:
    same_builder()
    record = merging.read(merging.RECORDS)[merging.OPERATORS]
    assert merging.operators().items() <= record.items()


def same_builder() -> None:
    if not backend.is_installed("tensorrt-rtx"):
        pytest.skip("needs TensorRT-RTX")
    built = merging.read(merging.RECORDS)["base"]["360x480"]["version"]
    if str(backend.use("tensorrt-rtx").version) != built:
        pytest.skip(f"the page is of TensorRT-RTX {built}")
