"""Measure how large every tensor of a float32 graph gets on given images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edaformer.export.runtime import OnnxSession


def measure_ranges(
    model: ir.Model, batches: Sequence[NDArray[np.generic]], *, name: str
) -> dict[str, float]:
    """The largest magnitude of each float tensor, by name.

    Args:
        model: a float32 graph; it is left as it is.
        batches: what goes into the input called ``name``, one after the other.
        name: the input's name.
    """
    probe = ir.from_proto(ir.to_proto(model))
    values = [v for n in probe.graph for v in n.outputs if v.dtype == ir.DataType.FLOAT and v.name]
    names = [value.name or "" for value in values]
    probe.graph.outputs.clear()
    for value in values:
        size = ir.node("Abs", [value])
        largest = ir.node("ReduceMax", [size.outputs[0]], attributes={"keepdims": 0})
        largest.outputs[0].name = f"range of {value.name}"
        largest.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        largest.outputs[0].shape = ir.Shape([])
        producer = value.producer()
        assert producer is not None
        probe.graph.insert_after(producer, [size, largest])
        probe.graph.outputs.append(largest.outputs[0])
    session = OnnxSession(ir.to_proto(probe).SerializeToString(), frugal=True)
    measured = [session.run({name: batch}) for batch in batches]
    return {key: max(float(run[f"range of {key}"]) for run in measured) for key in names}
