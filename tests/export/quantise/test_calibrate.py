from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edaformer.errors import InputError
from edaformer.export.quantise.calibrate import Calibration, measure


@pytest.fixture
def doubled() -> ir.Model:
    """twice = x + x, none = x - x."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1000])
        for name in ("x", "twice", "none")
    ]
    nodes = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Sub", ["x", "x"], ["none"]),
    ]
    graph = helper.make_graph(nodes, "doubled", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def test_a_range_holds_nearly_all_magnitudes_of_all_images(doubled: ir.Model) -> None:
    draw = np.random.default_rng(0)
    batches = [draw.standard_normal((1, 1000)).astype(np.float32) for _ in range(30)]
    batches[3][0, 0] = -50.0  # an outlier, one of 30000
    found = measure(doubled, ["twice"], batches, name="x")["twice"]
    values = 2 * np.abs(np.concatenate(batches))
    assert found == pytest.approx(np.quantile(values, 0.9999), rel=0.02)
    assert found < 10
    assert [value.name for value in doubled.graph.outputs] == ["twice", "none"]  # left alone


def test_what_is_zero_on_all_images_has_no_range(doubled: ir.Model) -> None:
    with pytest.raises(InputError, match="none is zero on all calibration images"):
        measure(doubled, ["none"], [np.ones((1, 1000), np.float32)], name="x")


def of(images: np.ndarray) -> Calibration:
    return Calibration(images, tuple(f"image {at}" for at in range(len(images))), "folder:DIR")


def test_images_that_say_nothing_are_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
    of(noise).check()
    with pytest.raises(InputError, match="1 calibration image of folder:DIR cannot say what is us"):
        of(noise[:1]).check()
    with pytest.raises(InputError, match="8 of 8 calibration images are of one colour all over"):
        of(np.zeros_like(noise)).check()
    mixed = noise.copy()
    mixed[5] = 77
    with pytest.raises(InputError, match=r"1 of 8 calibration images are .* \(image 5\)"):
        of(mixed).check()


def test_an_image_is_known_by_its_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
    other = noise.copy()
    other[2, 0, 0, 0] ^= 1
    same = [a == b for a, b in zip(of(noise).hashes, of(other).hashes, strict=True)]
    assert same == [True, True, False, *[True] * 5]
