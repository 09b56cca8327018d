from __future__ import annotations

import onnx_ir as ir
import pytest

from edaformer.errors import InputError
from edaformer.export.quantise.parts import DEFAULT, PARTS, find_sites, parse_parts, part_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, DEFAULT),
        ("all", PARTS),
        ("mlp", ("mlp",)),
        ("mlp, attention", ("attention", "mlp")),  # in the order they are documented in
    ],
)
def test_parts_are_read(text: str | None, parts: tuple[str, ...]) -> None:
    assert parse_parts(text) == parts


@pytest.mark.parametrize("text", ["", "mlps", "mlp,mlp", "all,mlp"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected --quantise out of attention, projections, mlp"):
        parse_parts(text)


def test_every_layer_is_of_a_part_and_three_kinds_stay_out(graph: ir.Model) -> None:
    sites, left = find_sites(graph.graph, PARTS, "int8")
    layers = {node.name for node in graph.graph if node.op_type in {"Conv", "MatMul"}}
    out = {name for one in left for name in one.nodes}
    assert {site.node for site in sites} | out == layers
    assert {one.reason for one in left} == {"depthwise", "first layer", "last layer"}
    named = {one.reason: one.nodes for one in left}
    assert named["first layer"] == ("encoder.stage1.embed.proj/Conv",)
    assert named["last layer"] == ("decoder.classify/Conv",)
    assert all("dwconv" in name for name in named["depthwise"])


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_what_its_name_says(graph: ir.Model, part: str) -> None:
    sites, _ = find_sites(graph.graph, (part,), "int8")  # type: ignore[arg-type]
    word = {"attention": ".attend", "projections": ".attention."}.get(part, part)
    assert sites
    assert all(word in site.node for site in sites)
    nodes = {node.name: node for node in graph.graph}
    assert all(part_of(nodes[site.node]) == part for site in sites)


def test_int8_attention_is_left_out_where_tensorrt_would_not_fuse_it(graph: ir.Model) -> None:
    sites, left = find_sites(graph.graph, ("attention",), "int8")
    assert not left
    assert {site.node.rpartition("/")[2] for site in sites if site.output} == {"MatMul_1"}
    give_keys(graph, "stage1", 513)
    sites, left = find_sites(graph.graph, ("attention",), "int8")
    assert [one.reason for one in left] == ["not fused"]
    assert all("stage1" in name for name in left[0].nodes)
    assert not any("stage1" in site.node for site in sites)


def test_fp8_attention_is_left_out_where_tensorrt_would_not_fuse_it(graph: ir.Model) -> None:
    give_keys(graph, "", 32)
    sites, left = find_sites(graph.graph, ("attention",), "fp8")
    assert sites
    assert not left
    give_keys(graph, "stage1", 31)
    sites, left = find_sites(graph.graph, ("attention",), "fp8")
    assert [(one.reason, "32 keys and more" in one.why) for one in left] == [("not fused", True)]
    assert all("stage1" in name for name in left[0].nodes)
    assert not any("stage1" in site.node for site in sites)


def give_keys(graph: ir.Model, where: str, count: int) -> None:
    """To the attention of a stage, or of all."""
    for node in graph.graph:
        if part_of(node) == "attention" and where in (node.name or ""):
            operand = node.inputs[1]
            assert operand is not None
            assert operand.shape is not None
            sides = list(operand.shape)
            sides[2 if (node.name or "").endswith("_1") else 3] = count
            operand.shape = ir.Shape(sides)
