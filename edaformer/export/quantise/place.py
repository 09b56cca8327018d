"""Insert QuantizeLinear and DequantizeLinear: symmetric, with scales in half precision.

An activation has one scale and one pair, which all its readers share; a weight is stored in eight
bits, with a scale for each output channel, behind a DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edaformer.errors import InputError
from edaformer.export.quantise.parts import EightBits, Site

LARGEST: dict[EightBits, float] = {"int8": 127.0, "fp8": 448.0}  # E4M3's; -128 is not used
_TYPES: dict[EightBits, np.dtype[np.generic]] = {
    "int8": np.dtype(np.int8),
    "fp8": np.dtype(ml_dtypes.float8_e4m3fn),
}


@dataclass(frozen=True)
class Scales:
    """What one step of eight bits is worth, by tensor."""

    activations: dict[str, float]
    weights: dict[str, NDArray[np.float16]]  # by output channel


def place(
    model: ir.Model, sites: tuple[Site, ...], ranges: Mapping[str, float], precision: EightBits
) -> Scales:
    """Insert the pairs into a graph that is typed in half precision, in place.

    Args:
        model: as fp16.convert_to_fp16 leaves it.
        sites: nodes of it that compute in FLOAT16.
        ranges: of each activation, by name, as measured.
        precision: of the values between the pairs.

    Raises:
        InputError: if a range is too small or too large for a scale in half precision.
    """
    placer = _Placer(model.graph, ranges, precision)
    nodes = {node.name: node for node in model.graph}
    for site in sites:
        placer.quantise(nodes[site.node], site)
    return placer.scales


class _Placer:
    def __init__(self, graph: ir.Graph, ranges: Mapping[str, float], precision: EightBits) -> None:
        self.graph, self.ranges, self.precision = graph, ranges, precision
        self.scales = Scales({}, {})
        self.rounded: dict[ir.Value, ir.Value] = {}

    def quantise(self, node: ir.Node, site: Site) -> None:
        for index in site.inputs:
            node.replace_input_with(index, self._activation(node.inputs[index], before=node))
        if site.weight is not None:
            assert site.axis is not None
            weight = self._weight(node.inputs[site.weight], site.axis, before=node)
            node.replace_input_with(site.weight, weight)
        if site.output:
            result, readers = node.outputs[0], tuple(node.outputs[0].uses())
            pair = self._activation(result, before=None)
            for reader in readers:
                reader.node.replace_input_with(reader.idx, pair)

    def _activation(self, value: ir.Value | None, before: ir.Node | None) -> ir.Value:
        """``value`` rounded to eight bits: once for all readers."""
        assert value is not None
        assert value.dtype == ir.DataType.FLOAT16
        if value not in self.rounded:
            name = value.name or ""
            scale = self._scale(name)
            self.scales.activations[name] = float(scale)
            zero = self._constant("zero", np.zeros((), _TYPES[self.precision]))
            held = self._constant(f"{name}.scale", scale)
            quantize = self._node("QuantizeLinear", [value, held, zero], f"{name}.eight", value)
            quantize.outputs[0].dtype = ir.DataType.from_numpy(_TYPES[self.precision])
            back = [quantize.outputs[0], held, zero]
            dequantize = self._node("DequantizeLinear", back, f"{name}.restored", value)
            self._insert(value, [quantize, dequantize], before)
            self.rounded[value] = dequantize.outputs[0]
        return self.rounded[value]

    def _scale(self, name: str) -> NDArray[np.float16]:
        largest = self.ranges[name]
        scale = np.array(largest / LARGEST[self.precision], np.float16)
        if not np.isfinite(scale) or scale <= 0:
            raise InputError(
                f"{name} reaches {largest:.3g} on the calibration images, for which half precision "
                "has no scale; calibrate on images of the scenes that the network was trained for"
            )
        return scale

    def _weight(self, value: ir.Value | None, axis: int, before: ir.Node) -> ir.Value:
        """A weight in eight bits, and what makes it a number again."""
        assert value is not None
        assert value.const_value is not None
        name = value.name or ""
        own = value.const_value.numpy().astype(np.float32)
        others = tuple(at for at in range(own.ndim) if at != axis)
        largest = np.abs(own).max(axis=others, keepdims=True)
        limit = LARGEST[self.precision]
        scale = (largest / limit).astype(np.float16)
        scale[scale == 0] = 1  # a channel that rewrites filled up with zeros
        steps = np.clip(own / scale.astype(np.float32), -limit, limit)
        if self.precision == "int8":
            steps = np.rint(steps)
        self.scales.weights[name] = scale.ravel()
        held = self._constant(f"{name}.eight", steps.astype(_TYPES[self.precision]))
        factor = self._constant(f"{name}.scale", scale.ravel())
        zeros = self._constant(f"zero.{scale.size}", np.zeros(scale.size, _TYPES[self.precision]))
        node = self._node("DequantizeLinear", [held, factor, zeros], f"{name}.restored", value)
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
        self.graph.insert_before(before, node)
        return node.outputs[0]

    def _node(self, kind: str, inputs: list[ir.Value], name: str, like: ir.Value) -> ir.Node:
        node = ir.node(kind, inputs, name=f"{name}/{kind}")
        node.outputs[0].name = name
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT16)
        node.outputs[0].shape = like.shape
        return node

    def _insert(self, value: ir.Value, nodes: list[ir.Node], before: ir.Node | None) -> None:
        producer = value.producer()
        if producer is not None:
            self.graph.insert_after(producer, nodes)
        else:
            assert before is not None
            self.graph.insert_before(before, nodes)

    def _constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        if name in self.graph.initializers:
            return self.graph.initializers[name]
        held = ir.Value(
            name=name, shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
            const_value=ir.tensor(array, name=name),
        )  # fmt: skip
        self.graph.register_initializer(held)
        return held
