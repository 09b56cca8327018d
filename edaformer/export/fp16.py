"""Half precision written into the graph's types, with a named reason for whatever stays FP32.

A strongly typed graph is the one form that TensorRT 10.3, 11.x and TensorRT-RTX all build alike:
there is no precision flag to forget. Every node computes in FLOAT16 unless a reason keeps it in
FLOAT; a Cast stands wherever the two meet. Inputs and outputs keep their types (uint8, float32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edaformer.export.graph import scope

HALF_MAX = 65504.0  # largest finite IEEE 754 binary16
RANGE_LIMIT = HALF_MAX / 2  # one bit of headroom for images that were not measured

# Inputs that ONNX types as float32 whatever the data is: Resize's roi and scales (opset 18).
_FLOAT_ONLY_INPUTS = {"Resize": (1, 2)}


@dataclass(frozen=True)
class Kept:
    """A reason, and the nodes it keeps in FP32."""

    reason: str
    why: str
    nodes: tuple[str, ...]


def convert_to_fp16(model: ir.Model, ranges: Mapping[str, float]) -> tuple[Kept, ...]:
    """Type ``model`` (float32) in place.

    Args:
        model: as traced.
        ranges: the largest magnitude of each float tensor, by name, as measured on images.

    Returns:
        What was kept in FP32, and why.
    """
    kept = _reasons(model.graph, ranges)
    names = {name for reason in kept for name in reason.nodes}
    half_nodes = [node for node in model.graph if node.name not in names]
    half_values = {
        value for node in half_nodes for value in node.outputs if value.dtype == ir.DataType.FLOAT
    }
    writer = _Writer(model.graph, half_values)
    for node in list(model.graph):
        writer.type_node(node, half=node.name not in names)
    writer.type_outputs()
    return kept


def _reasons(graph: ir.Graph, ranges: Mapping[str, float]) -> tuple[Kept, ...]:
    """Each reason with its nodes, largest first come, first served."""
    taken: set[str] = set()
    found: list[Kept] = []
    for reason, why, nodes in (
        ("normalisation", "the mean and scale of the image are no half-precision numbers",
         _in_modules(graph, "normalise")),
        ("probabilities", "near 1 FLOAT16 has steps of 0.0005, where FLOAT has 0.00000006",
         _in_modules(graph, "probabilities")),
        ("softmax", "its sums run over all keys, and in FLOAT16 2048 + 1 is 2048",
         _in_modules(graph, "softmax")),
        ("range", f"tensors in it exceed {RANGE_LIMIT:.0f}, half of what FLOAT16 can hold",
         _out_of_range(graph, ranges)),
    ):  # fmt: skip
        names = tuple(node.name or "" for node in nodes if node.name not in taken)
        taken.update(names)
        if names:
            found.append(Kept(reason, why, names))
    return tuple(found)


def _in_modules(graph: ir.Graph, name: str) -> list[ir.Node]:
    return [node for node in graph if scope(node).rpartition(".")[2] == name]


def _out_of_range(graph: ir.Graph, ranges: Mapping[str, float]) -> list[ir.Node]:
    """The modules whose tensors or weights are too large, whole, and whoever reads such a tensor.

    Whole modules, so that a block has two casts around it and none inside.
    """

    def too_large(value: ir.Value | None) -> bool:
        if value is None or value.name is None:
            return False
        if value.const_value is not None and value.dtype == ir.DataType.FLOAT:
            return bool(np.abs(value.const_value.numpy()).max(initial=0) > RANGE_LIMIT)
        return ranges.get(value.name, 0.0) > RANGE_LIMIT

    touched = [n for n in graph if any(map(too_large, n.inputs)) or any(map(too_large, n.outputs))]
    modules = {scope(node) for node in touched if _is_module(scope(node))}
    return [node for node in graph if node in touched or scope(node) in modules]


def _is_module(name: str) -> bool:
    """Whether a scope is small enough to be kept whole: an attention, an MLP, the fuse layer."""
    return any(part in name for part in ("attention", "mlp", "fuse", "classify", "embed"))


class _Writer:
    """Types nodes one by one and casts where FLOAT and FLOAT16 meet, once per tensor."""

    def __init__(self, graph: ir.Graph, half_values: set[ir.Value]) -> None:
        self.graph = graph
        self.half_values = half_values
        self.casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def type_node(self, node: ir.Node, *, half: bool) -> None:
        wanted = ir.DataType.FLOAT16 if half else ir.DataType.FLOAT
        for index, value in enumerate(node.inputs):
            if value is None or index in _FLOAT_ONLY_INPUTS.get(node.op_type, ()):
                continue
            if value in self.half_values or value.dtype == ir.DataType.FLOAT:
                node.replace_input_with(index, self.as_type(value, wanted, before=node))
        if half:
            for value in node.outputs:
                if value in self.half_values:
                    value.dtype = ir.DataType.FLOAT16
            if node.op_type == "Cast" and node.outputs[0] in self.half_values:
                node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT16)

    def as_type(self, value: ir.Value, wanted: ir.DataType, *, before: ir.Node) -> ir.Value:
        """``value`` in the wanted type: itself, a converted weight, or a Cast."""
        is_half = value in self.half_values
        if is_half == (wanted == ir.DataType.FLOAT16):
            return value
        if (value, wanted) not in self.casts:
            make = self._converted_weight if value.const_value is not None else self._cast
            self.casts[value, wanted] = make(value, wanted, before)
        return self.casts[value, wanted]

    def type_outputs(self) -> None:
        """Outputs stay float32: a half one gets a Cast, which takes over its name."""
        for index, value in enumerate(self.graph.outputs):
            if value not in self.half_values:
                continue
            name = value.name
            value.name = f"{name}.half"
            cast = ir.node(
                "Cast", [value], attributes={"to": ir.DataType.FLOAT}, name=f"{name}/Cast"
            )
            cast.outputs[0].name = name
            cast.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            cast.outputs[0].shape = value.shape
            self.graph.append(cast)
            self.graph.outputs[index] = cast.outputs[0]

    def _converted_weight(self, value: ir.Value, wanted: ir.DataType, _: ir.Node) -> ir.Value:
        assert value.const_value is not None
        assert wanted == ir.DataType.FLOAT16  # the graph starts in float32
        array = value.const_value.numpy().astype(np.float16)
        name = f"{value.name}.half"
        half = ir.Value(
            name=name, shape=value.shape, type=ir.TensorType(wanted), const_value=ir.tensor(array)
        )
        half.const_value.name = name  # type: ignore[union-attr]
        self.graph.register_initializer(half)
        return half

    def _cast(self, value: ir.Value, wanted: ir.DataType, before: ir.Node) -> ir.Value:
        cast = ir.node("Cast", [value], attributes={"to": wanted})
        suffix = "half" if wanted == ir.DataType.FLOAT16 else "float"
        cast.name = f"{value.name}.{suffix}/Cast"
        cast.outputs[0].name = f"{value.name}.{suffix}"
        cast.outputs[0].type = ir.TensorType(wanted)
        cast.outputs[0].shape = value.shape
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(before, cast)
        else:
            self.graph.insert_after(producer, cast)
        return cast.outputs[0]
