from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edaformer.errors import GateError
from edaformer.export.fp16 import convert_to_fp16
from edaformer.export.ranges import measure_ranges
from edaformer.export.verify import Images, Probe, natural_noise, verify
from edaformer.export.wrapper import Deployment


def scaled(graph: ir.Model, name: str, factor: float) -> ir.Model:
    """The graph with one weight multiplied."""
    weight = graph.graph.initializers[name]
    assert weight.const_value is not None
    weight.const_value = ir.tensor(
        weight.const_value.numpy() * np.float32(factor), name=weight.name
    )
    return graph


def test_fp32_agrees_exactly_enough(
    graph: ir.Model, deployment: Deployment, images: Images
) -> None:
    result = verify(Probe(graph), deployment, images)
    assert result.max_logit_error <= 1e-4
    assert result.label_agreement_decided == 1
    assert not result.rounding_emulated
    assert result.cosine == pytest.approx(1)
    assert (result.images, result.source) == (2, "noise")


def test_fp16_is_verified_as_fp16(graph: ir.Model, deployment: Deployment, images: Images) -> None:
    convert_to_fp16(graph, {})
    result = verify(Probe(graph), deployment, images)
    assert result.rounding_emulated
    assert 1e-4 < result.max_logit_error <= result.tolerance
    assert result.label_agreement > 0.98
    assert result.label_agreement_decided >= 0.999


def test_a_wrong_weight_is_noticed(graph: ir.Model, deployment: Deployment, images: Images) -> None:
    scaled(graph, "model.decoder.classify.weight", 1.1)
    with pytest.raises(GateError, match=r"differs from PyTorch by .* nothing was written"):
        verify(Probe(graph), deployment, images)


def test_wrong_labels_are_noticed_where_the_logits_are_right(
    graph: ir.Model, deployment: Deployment, images: Images
) -> None:
    first = next(node for node in graph.graph if node.op_type == "ReduceMin")
    first.op_type, first.name = "ReduceMax", "labels/ReduceMax_1"  # the beaten ones' mark instead
    with pytest.raises(GateError, match="labels agree with PyTorch on"):
        verify(Probe(graph), deployment, images)


def test_tolerance_overrides(graph: ir.Model, deployment: Deployment, images: Images) -> None:
    convert_to_fp16(graph, {})
    with pytest.raises(GateError, match=r"more than 1e-05 .*--tolerance"):
        verify(Probe(graph), deployment, images, tolerance=1e-5)
    assert verify(Probe(graph), deployment, images, tolerance=9.0).tolerance == 9


MLP = "model.encoder.stage3.blocks.0.mlp"


def test_overflow_names_the_block(graph: ir.Model, deployment: Deployment, images: Images) -> None:
    """fc1 a million times as large, fc2 a million times smaller: fine in float32 alone."""
    scaled(scaled(graph, f"{MLP}.fc1.bias", 1e6), f"{MLP}.dwconv.weight", 1)
    convert_to_fp16(graph, {})
    with pytest.raises(GateError, match=r"FLOAT16 overflows in encoder\.stage3\.blocks\.0\.mlp"):
        verify(Probe(graph), deployment, images)


def test_a_block_that_would_overflow_is_kept_in_fp32(
    graph: ir.Model, deployment: Deployment, images: Images
) -> None:
    scaled(graph, f"{MLP}.fc1.bias", 1e6)
    ranges = measure_ranges(graph, images.batches(1), name="image")
    kept = convert_to_fp16(graph, ranges)
    (reason,) = [item for item in kept if item.reason == "range"]
    assert {name.partition("/")[0] for name in reason.nodes} >= {"encoder.stage3.blocks.0.mlp"}
    # the reference has other weights, so only finiteness is asked for here
    with pytest.raises(GateError, match="differs from PyTorch"):
        verify(Probe(graph), deployment, images)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [(1, [[0], [1], [2]]), (2, [[0, 1], [2, 2]]), (5, [[0, 1, 2, 2, 2]]),
     (None, [[0, 1, 2], [0], [1], [2]])],
)  # fmt: skip
def test_images_fill_fixed_batches(batch: int | None, expected: list[list[int]]) -> None:
    images = Images(np.arange(3).reshape(3, 1, 1, 1), "x")
    assert [made.ravel().tolist() for made in images.batches(batch)] == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (37, 64), (128, 128)])
def test_noise_is_seeded_and_lively(size: tuple[int, int]) -> None:
    noise = natural_noise(2, size)
    assert (noise.shape, noise.dtype) == ((2, *size, 3), np.uint8)
    assert (noise == natural_noise(2, size)).all()
    if min(size) > 30:
        assert 30 < noise.std() < 80
        assert (natural_noise(2, size, seed=1) != noise).any()
