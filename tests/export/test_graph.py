from __future__ import annotations

import onnx_ir as ir
import torch

from edaformer.export.graph import IR_VERSION, scope, trace
from edaformer.export.wrapper import Deployment


def test_names_say_where_a_node_is(graph: ir.Model) -> None:
    names = [node.name or "" for node in graph.graph]
    assert len(set(names)) == len(names)
    assert "encoder.stage1.embed.proj/Conv" in names
    assert "decoder.c4.blocks.0.attention.attend/Softmax" in names
    scopes = {scope(node) for node in graph.graph}
    assert {"normalise", "labels", "decoder.fuse.c4", "decoder.classify"} <= scopes
    assert all("/" in name for name in names)


def test_layernorm_is_one_op_and_batchnorm_none(graph: ir.Model) -> None:
    ops = [node.op_type for node in graph.graph]
    # embed, two a block and the stage's end, four stages; three a decoder block, six blocks
    assert ops.count("LayerNormalization") == 4 * 4 + 6 * 3
    assert ops.count("Softmax") == 10
    assert not {"BatchNormalization", "ReduceMean", "Pow"} & set(ops)


def test_the_query_is_scaled_before_the_product(graph: ir.Model) -> None:
    for node in graph.graph:
        if node.op_type == "Softmax":
            product = node.inputs[0].producer()  # type: ignore[union-attr]
            assert product is not None
            assert product.op_type == "MatMul"
            assert product.inputs[0].producer().op_type == "Mul"  # type: ignore[union-attr]


def test_uint8_is_cast_before_anything_else_and_labels_leave_through_a_float(
    graph: ir.Model,
) -> None:
    (reader,) = {user.node for user in graph.graph.inputs[0].uses()}
    assert reader.op_type == "Cast"
    last = graph.graph.outputs[0].producer()
    assert last is not None
    assert last.op_type == "Cast"
    assert last.inputs[0].dtype == ir.DataType.FLOAT  # type: ignore[union-attr]


def test_nothing_of_the_exporting_machine_remains(traced: bytes) -> None:
    assert b".py" not in traced
    assert b"/home" not in traced
    assert b"torch" not in traced


def test_opset_and_ir_version(graph: ir.Model) -> None:
    assert graph.opset_imports[""] == 18
    assert graph.ir_version == IR_VERSION


def test_the_same_bytes_again(deployment: Deployment) -> None:
    example = torch.zeros(1, *deployment.geometry.size, 3, dtype=torch.uint8)
    first, second = (
        ir.to_proto(trace(deployment, example, opset=18, dynamic_batch=False)) for _ in range(2)
    )
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )
