"""The rounding twin: a float32 graph that rounds to half wherever the shipped graph is half.

ONNX Runtime's CPU provider computes float16 nodes in float32 and keeps intermediate results there,
which hides both overflow and rounding. In the twin every FLOAT16 tensor passes through a Cast to
FLOAT16 and back, which that provider does carry out, overflow to infinity included.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

# They move numbers without making new ones, so there is nothing to round.
_MOVES = frozenset(
    {"Transpose", "Reshape", "Slice", "Concat", "Split", "Expand", "Gather", "Squeeze", "Unsqueeze",
     "Flatten", "Identity", "Pad", "Relu"}
)  # fmt: skip


def is_half(model: ir.Model) -> bool:
    """Whether any tensor of the graph is FLOAT16."""
    return any(value.dtype == ir.DataType.FLOAT16 for node in model.graph for value in node.outputs)


def rounding_twin(model: ir.Model) -> ir.Model:
    """The twin of ``model``, which is left as it is; inputs and outputs keep names and types."""
    twin = ir.from_proto(ir.to_proto(model))
    half = [v for node in twin.graph for v in node.outputs if v.dtype == ir.DataType.FLOAT16]
    for initializer in list(twin.graph.initializers.values()):
        _widen_weight(initializer)
    for value in half:
        value.dtype = ir.DataType.FLOAT
        node = value.producer()
        assert node is not None
        if node.op_type == "Cast":
            node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
        if node.op_type not in _MOVES:
            _round(twin.graph, node, value)
    return twin


def _widen_weight(initializer: ir.Value) -> None:
    if initializer.dtype != ir.DataType.FLOAT16 or initializer.const_value is None:
        return
    wide = ir.tensor(initializer.const_value.numpy().astype(np.float32), name=initializer.name)
    initializer.const_value = wide
    initializer.dtype = ir.DataType.FLOAT


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Put Cast to FLOAT16 and Cast to FLOAT behind ``value``; the rounded tensor gets its name."""
    name = value.name
    value.name = f"{name}.exact"
    down = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT16})
    up = ir.node("Cast", [down.outputs[0]], attributes={"to": ir.DataType.FLOAT})
    for cast, suffix, kind in (
        (down, "rounded", ir.DataType.FLOAT16),
        (up, "wide", ir.DataType.FLOAT),
    ):
        cast.name = f"{name}/{suffix}"
        cast.outputs[0].name = f"{name}.{suffix}"
        cast.outputs[0].type = ir.TensorType(kind)
        cast.outputs[0].shape = value.shape
    up.outputs[0].name = name
    readers = [(user.node, user.idx) for user in value.uses() if user.node is not down]
    for reader, index in readers:
        reader.replace_input_with(index, up.outputs[0])
    graph.insert_after(node, [down, up])
    if value in graph.outputs:
        raise AssertionError("outputs are float32 in every graph we write")
