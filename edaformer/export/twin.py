"""The rounding twin: a float32 graph that rounds to half wherever the shipped graph is half.

ONNX Runtime's CPU provider computes float16 nodes in float32 and keeps intermediate results there,
which hides both overflow and rounding. In the twin every FLOAT16 tensor passes through a Cast to
FLOAT16 and back, which that provider does carry out, overflow to infinity included.

Made from the file's bytes with protobuf alone, which ONNX Runtime brings along: a device that has
no onnx package makes the same twin. Fields that are not named here (onnx.proto3) are kept as they
are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from edaformer.border import border
from edaformer.errors import InputError, require

if TYPE_CHECKING:
    import onnx_ir as ir

_FLOAT, _FLOAT16 = 1, 10  # TensorProto.DataType
# They move numbers without making new ones, so there is nothing to round.
_MOVES = frozenset(
    {"Transpose", "Reshape", "Slice", "Concat", "Split", "Expand", "Gather", "Squeeze", "Unsqueeze",
     "Flatten", "Identity", "Pad", "Relu"}
)  # fmt: skip
_FIELDS = {  # of each message: number, type, and whether repeated
    "Model": {"graph": (7, "Graph", False)},
    "Graph": {
        "node": (1, "Node", True),
        "initializer": (5, "Tensor", True),
        "output": (12, "ValueInfo", True),
        "value_info": (13, "ValueInfo", True),
    },
    "Node": {
        "input": (1, "string", True),
        "output": (2, "string", True),
        "name": (3, "string", False),
        "op_type": (4, "string", False),
        "attribute": (5, "Attribute", True),
    },
    "Attribute": {
        "name": (1, "string", False),
        "i": (3, "int64", False),
        "t": (5, "Tensor", False),
        "type": (20, "int32", False),
    },
    "Tensor": {
        "dims": (1, "int64", True),
        "name": (8, "string", False),
        "data_type": (2, "int32", False),
        "int32_data": (5, "int32", True),
        "raw_data": (9, "bytes", False),
    },
    "ValueInfo": {"name": (1, "string", False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, "int32", False)},
}
_ATTRIBUTE_INT = 2  # AttributeProto.AttributeType


def is_half(model: ir.Model) -> bool:
    """Whether any tensor of the graph is FLOAT16."""
    return any(value.dtype == _FLOAT16 for node in model.graph for value in node.outputs)


def damaged(said: str) -> InputError:
    """For what a library says of a graph's bytes."""
    return InputError(f"the ONNX model is damaged ({said}); export it again")


@border(damaged)
def rounding_twin(model: bytes) -> bytes:
    """The twin of a serialised ONNX model: the same inputs, and outputs in float32.

    The model's tensors are typed in the file, as every graph that is exported here has them.

    Raises:
        InputError: if it is damaged.
    """
    twin = messages()["Model"].FromString(model)
    graph = twin.graph
    values = (*graph.value_info, *graph.output)
    types = [value for value in values if _element(value).elem_type == _FLOAT16]
    half = {value.name for value in types}
    for value in types:
        _element(value).elem_type = _FLOAT
    for initializer in graph.initializer:
        _widen(initializer)
    nodes = [made for node in graph.node for made in _rounded(node, half)]
    del graph.node[:]
    graph.node.extend(nodes)
    data: bytes = twin.SerializeToString(deterministic=True)
    return data


@border(damaged)
def with_logits(model: bytes) -> bytes:
    """A serialised ONNX model of ours with its logits as an output, where none of them is.

    So that a NaN can be seen: an argmax inside the graph hides it behind some class.

    Raises:
        InputError: if it is damaged.
    """
    made = messages()["Model"].FromString(model)
    graph = made.graph
    inside = any("logits" in node.output for node in graph.node)
    if not inside or any(value.name == "logits" for value in graph.output):
        return model
    known = (value for value in graph.value_info if value.name == "logits")
    graph.output.append(next(known, messages()["ValueInfo"](name="logits")))
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _rounded(node: Any, half: set[str]) -> list[Any]:
    """The node in float32, and behind each half output its rounding, which gets its name."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            _widen(attribute.t)
        if node.op_type == "Cast" and attribute.i == _FLOAT16:
            attribute.i = _FLOAT
    made = [node]
    if node.op_type in _MOVES:
        return made
    for index, name in enumerate(node.output):
        if name in half:
            node.output[index] = f"{name}.exact"
            made.append(_cast(f"{name}.exact", f"{name}.rounded", _FLOAT16))
            made.append(_cast(f"{name}.rounded", name, _FLOAT))
    return made


def _cast(source: str, target: str, kind: int) -> Any:
    node = messages()["Node"](name=f"{target}/cast", op_type="Cast")
    node.input.append(source)
    node.output.append(target)
    node.attribute.add(name="to", i=kind, type=_ATTRIBUTE_INT)
    return node


def _widen(tensor: Any) -> None:
    if tensor.data_type != _FLOAT16:
        return
    if tensor.HasField("raw_data"):
        half = np.frombuffer(tensor.raw_data, "<f2")
    else:
        half = np.asarray(tensor.int32_data, np.uint16).view(np.float16)
        del tensor.int32_data[:]
    tensor.raw_data = half.astype("<f4").tobytes()
    tensor.data_type = _FLOAT


def _element(value: Any) -> Any:
    return value.type.tensor_type


@lru_cache(maxsize=1)
def messages() -> dict[str, Any]:
    """The messages of onnx.proto3, reduced to what is read or written."""
    require("google.protobuf", "export")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="onnx.proto", package="onnx", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, label=label)
            if kind in _FIELDS:
                made.type, made.type_name = field_type.TYPE_MESSAGE, f".onnx.{kind}"
            else:
                made.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"onnx.{name}"))
        for name in _FIELDS
    }
