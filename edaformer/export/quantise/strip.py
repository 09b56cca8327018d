"""The FP16 twin of a graph in eight bits: the same graph without its pairs, weights restored.

Made from the file's bytes, as export/twin.py makes the rounding twin, so that any machine that
builds can build both and compare them. What a builder makes of a graph depends on its types and
shapes, so restored weights do as well as those that were rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edaformer.border import border
from edaformer.export.twin import damaged, messages

_FLOAT16, _INT8, _FLOAT8 = 10, 3, 17  # TensorProto.DataType: FLOAT8E4M3FN


@border(damaged)
def half_twin(model: bytes) -> bytes:
    """A serialised model of ours in eight bits, all of it in half precision.

    Raises:
        InputError: if it is damaged.
    """
    made = messages()["Model"].FromString(model)
    graph = made.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    rounded = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    stands_for: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        source = node.input[0]
        if source in held:
            _restore(held[source], held[node.input[1]], node)
        stands_for[node.output[0]] = source if source in held else rounded[source].input[0]
    nodes = [n for n in graph.node if n.op_type not in {"QuantizeLinear", "DequantizeLinear"}]
    for node in nodes:
        for index, name in enumerate(node.input):
            while name in stands_for:
                name = stands_for[name]  # noqa: PLW2901  # a pair may follow a pair
            node.input[index] = name
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    for field, values in ((graph.node, nodes), (graph.initializer, kept)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)
    values = [v for v in graph.value_info if v.name not in held]
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del graph.value_info[:]
    graph.value_info.extend(copies)
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _restore(weight: Any, scale: Any, node: Any) -> None:
    """A weight's steps times its scales, in half precision."""
    steps = _steps(weight)
    (axis,) = (attribute.i for attribute in node.attribute if attribute.name == "axis")
    shape = [-1 if at == axis else 1 for at in range(steps.ndim)]
    factors = np.frombuffer(scale.raw_data, "<f2").astype(np.float32).reshape(shape)
    weight.raw_data = (steps * factors).astype("<f2").tobytes()
    weight.data_type = _FLOAT16


def _steps(weight: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape = tuple(weight.dims)
    if weight.data_type == _INT8:
        return np.frombuffer(weight.raw_data, np.int8).astype(np.float32).reshape(shape)
    assert weight.data_type == _FLOAT8
    return _float8(np.frombuffer(weight.raw_data, np.uint8)).reshape(shape)


def _float8(codes: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """E4M3: a sign, 4 bits of exponent of bias 7, 3 of mantissa."""
    exponent, mantissa = (codes >> 3 & 15).astype(np.int32), (codes & 7).astype(np.float32)
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    size = np.where(exponent == 0, np.ldexp(mantissa, -9), normal)
    signed: np.ndarray[Any, np.dtype[np.float32]] = np.where(codes >> 7, -size, size)
    return signed.astype(np.float32)
