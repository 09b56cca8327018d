"""Graphs that compute attention wrongly in one block, as kernels on some GPUs have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

Break = Callable[[ir.Model, ir.Node], None]


def softmaxes(model: ir.Model) -> list[ir.Node]:
    """The attention blocks, by their softmax: (N, heads, queries, keys)."""
    return [node for node in model.graph if node.op_type == "Softmax"]


def scaled_logits(model: ir.Model, softmax: ir.Node) -> None:
    """The product of queries and keys halved."""
    logits = softmax.inputs[0]
    assert logits is not None
    half = _constant(model, softmax, np.array(0.5), logits)
    node = ir.node("Mul", [logits, half])
    _name(node, softmax, logits)
    model.graph.insert_before(softmax, node)
    softmax.replace_input_with(0, node.outputs[0])


def swapped_heads(model: ir.Model, softmax: ir.Node) -> None:
    """Heads in reverse order; where there is one, its queries."""
    out = _attended(softmax)
    axis = 1 if _shape(out)[1] > 1 else 2
    order = np.arange(_shape(out)[axis])[::-1].copy()
    _gather(model, softmax, out, order, axis)


def stale_tile(model: ir.Model, softmax: ir.Node) -> None:
    """The first 64 queries, a tile of a fused kernel, hold what the last 64 have."""
    out = _attended(softmax)
    count = _shape(out)[2]
    tile = min(64, count // 2)
    order = np.arange(count)
    order[:tile] = order[count - tile :]
    _gather(model, softmax, out, order, 2)


def nan_pixel(model: ir.Model, softmax: ir.Node) -> None:
    """One query's sum is no number."""
    out = _attended(softmax)
    hole = np.zeros((1, 1, _shape(out)[2], 1))
    hole[0, 0, _shape(out)[2] // 2] = np.nan
    _behind(model, softmax, out, "Add", _constant(model, softmax, hole, out))


BREAKS: dict[str, Break] = {
    "scaled logits": scaled_logits, "swapped heads": swapped_heads, "stale tile": stale_tile,
    "NaN pixel": nan_pixel,
}  # fmt: skip


def _attended(softmax: ir.Node) -> ir.Value:
    """What the block's softmax sums up: the product with the values."""
    value = softmax.outputs[0]
    while True:
        (use,) = value.uses()
        value = use.node.outputs[0]
        if use.node.op_type == "MatMul":
            return value


def _gather(model: ir.Model, softmax: ir.Node, out: ir.Value, order: np.ndarray, axis: int) -> None:
    index = _constant(model, softmax, order.astype(np.int64), None)
    _behind(model, softmax, out, "Gather", index, axis=ir.AttrInt64("axis", axis))


def _behind(
    model: ir.Model, softmax: ir.Node, out: ir.Value, kind: str, other: ir.Value,
    **attributes: ir.Attr,
) -> None:  # fmt: skip
    node = ir.node(kind, [out, other], attributes=attributes)
    _name(node, softmax, out)
    readers = [(use.node, use.idx) for use in out.uses() if use.node is not node]
    for reader, index in readers:
        reader.replace_input_with(index, node.outputs[0])
    producer = out.producer()
    assert producer is not None
    model.graph.insert_after(producer, node)


def _name(node: ir.Node, softmax: ir.Node, like: ir.Value) -> None:
    node.name = f"{softmax.name}/broken"
    node.outputs[0].name = f"{softmax.name}.broken"
    node.outputs[0].type, node.outputs[0].shape = like.type, like.shape


def _constant(
    model: ir.Model, softmax: ir.Node, array: np.ndarray, like: ir.Value | None
) -> ir.Value:
    if like is not None:
        assert like.dtype is not None
        array = array.astype(like.dtype.numpy())
    name = f"{softmax.name}.constant"
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.type = ir.TensorType(value.const_value.dtype)  # type: ignore[union-attr]
    value.shape = ir.Shape(array.shape)
    model.graph.register_initializer(value)
    return value


def _shape(value: ir.Value) -> tuple[int, ...]:
    assert value.shape is not None
    return value.shape.numpy()
