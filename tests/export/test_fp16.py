from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edaformer.export.fp16 import RANGE_LIMIT, convert_to_fp16
from edaformer.export.ranges import measure_ranges
from edaformer.export.runtime import OnnxSession
from edaformer.export.twin import is_half, rounding_twin

F16, F32 = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def two_nodes(weight: float = 2.0) -> ir.Model:
    """y = (x w) + 1, as mlp/MatMul and mlp/Add."""
    w = onnx.numpy_helper.from_array(np.full((2, 2), weight, np.float32), "w")
    one = onnx.numpy_helper.from_array(np.ones(2, np.float32), "one")
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["m"], name="a.mlp/MatMul"),
        onnx.helper.make_node("Add", ["m", "one"], ["y"], name="b.mlp/Add"),
    ]
    graph = onnx.helper.make_graph(
        nodes, "g",
        [onnx.helper.make_tensor_value_info("x", F32, (1, 2))],
        [onnx.helper.make_tensor_value_info("y", F32, (1, 2))],
        [w, one],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))


def types(model: ir.Model) -> dict[str, int]:
    return {node.name or "": int(node.outputs[0].dtype or 0) for node in model.graph}


def check(model: ir.Model) -> None:
    onnx.checker.check_model(
        onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True), full_check=True
    )


def test_all_half_with_float_at_the_border() -> None:
    model = two_nodes()
    assert convert_to_fp16(model, {}) == ()
    check(model)
    made = types(model)
    assert made["a.mlp/MatMul"] == made["b.mlp/Add"] == F16
    assert model.graph.inputs[0].dtype == F32
    assert model.graph.outputs[0].dtype == F32
    assert [v.name for v in model.graph.outputs] == ["y"]


def test_a_large_tensor_keeps_its_module_and_its_readers() -> None:
    model = two_nodes()
    (kept,) = convert_to_fp16(model, {"m": 1e5})
    assert (kept.reason, kept.nodes) == ("range", ("a.mlp/MatMul", "b.mlp/Add"))
    check(model)
    assert not is_half(model)


def test_a_large_weight_keeps_only_its_module() -> None:
    model = two_nodes(weight=7e4)
    (kept,) = convert_to_fp16(model, {})
    assert kept.nodes == ("a.mlp/MatMul",)
    check(model)
    made = types(model)
    assert (made["a.mlp/MatMul"], made["b.mlp/Add"]) == (F32, F16)
    x = np.ones((1, 2), np.float32)
    assert np.isinf(
        OnnxSession(twin_of(model)).run({"x": x})["y"]
    ).all()  # the Add's input overflows


def test_a_softmax_of_its_own_stays_in_fp32() -> None:
    assert np.float16(2048) + np.float16(1) == 2048  # why
    model = two_nodes()
    for node in model.graph:
        node.name = (node.name or "").replace("b.mlp", "b.attention.attend.softmax")
    (kept,) = convert_to_fp16(model, {})
    assert (kept.reason, kept.nodes) == ("softmax", ("b.attention.attend.softmax/Add",))
    check(model)
    assert types(model)["a.mlp/MatMul"] == F16
    assert types(model)["b.attention.attend.softmax/Add"] == F32


def test_the_limit_leaves_a_bit_of_headroom() -> None:
    assert convert_to_fp16(two_nodes(), {"m": RANGE_LIMIT}) == ()
    assert convert_to_fp16(two_nodes(), {"m": RANGE_LIMIT + 1}) != ()


@pytest.mark.parametrize(
    ("x", "expected"), [(1 + 2**-12, 2 * 2 + 1), (40000.0, np.inf), (2**-26, 1)]
)
def test_the_twin_rounds_and_overflows(x: float, expected: float) -> None:
    model = two_nodes()
    convert_to_fp16(model, {})
    twin = twin_of(model)
    check(parsed(twin))
    feed = {"x": np.full((1, 2), x, np.float32)}
    assert OnnxSession(twin).run(feed)["y"][0, 0] == expected


def test_the_plain_half_graph_hides_overflow_on_the_cpu() -> None:
    """Why there is a twin: the day this fails, it can go."""
    model = two_nodes()
    model.graph.node("b.mlp/Add").replace_input_with(1, model.graph.initializers["one"])
    convert_to_fp16(model, {})
    feed = {"x": np.full((1, 2), 60000.0, np.float32)}
    data = ir.to_proto(model).SerializeToString()
    assert np.isfinite(OnnxSession(data).run(feed)["y"]).all()


def test_ranges_by_hand() -> None:
    feed = np.array([[3.0, -4.0]], np.float32)
    assert measure_ranges(two_nodes(), [feed], name="x") == {"m": 2.0, "y": 1.0}
    other = np.array([[3.0, -40.0]], np.float32)
    assert measure_ranges(two_nodes(), [feed, other], name="x") == {"m": 74.0, "y": 73.0}


def test_the_whole_graph(graph: ir.Model, one_image: np.ndarray) -> None:
    kept = convert_to_fp16(graph, measure_ranges(graph, [one_image], name="image"))
    check(graph)
    assert [item.reason for item in kept] == ["normalisation"]
    made = types(graph)
    floats = {name for name, kind in made.items() if kind == F32}
    assert floats == {
        "normalise/Cast", "normalise/Transpose", "normalise/Sub", "normalise/Mul", "logits/Cast",
    }  # fmt: skip
    assert sum(kind == F16 for kind in made.values()) > 300
    for node in graph.graph:
        if node.op_type == "Resize":
            assert all(v is None or v.dtype != F16 for v in node.inputs[1:3])


def test_the_twin_of_the_whole_graph_has_its_names(graph: ir.Model, one_image: np.ndarray) -> None:
    convert_to_fp16(graph, {})
    before = ir.to_proto(graph).SerializeToString()
    twin = twin_of(graph)
    check(parsed(twin))
    assert ir.to_proto(graph).SerializeToString() == before
    assert not is_half_outside_casts(parsed(twin))
    made = OnnxSession(twin).run({"image": one_image})
    assert set(made) == {"labels", "logits"}


def twin_of(model: ir.Model) -> bytes:
    return rounding_twin(ir.to_proto(model).SerializeToString())


def parsed(data: bytes) -> ir.Model:
    return ir.from_proto(onnx.load_from_string(data))


def is_half_outside_casts(model: ir.Model) -> bool:
    return any(
        value.dtype == ir.DataType.FLOAT16
        for node in model.graph
        for value in node.outputs
        if node.op_type != "Cast"
    )
