from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edaformer.export.graph import trace
from edaformer.export.rewrites import apply_rewrites, defaults
from edaformer.export.verify import Images, natural_noise
from edaformer.export.wrapper import Deployment, Geometry
from tests.tiny import tiny_model

SIZE = (122, 113)  # padded to 128x128


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    """The tiny model, unrewritten, with both outputs."""
    geometry = Geometry.of(SIZE, 32)
    return Deployment(tiny_model(), geometry, image_input=True, outputs=("labels", "logits")).eval()


@pytest.fixture(scope="session")
def traced(deployment: Deployment) -> bytes:
    """Its float32 graph, rewritten; bytes, so that every test gets its own."""
    rewritten, _ = apply_rewrites(deployment, defaults("fp16", "T"))
    example = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
    graph = trace(rewritten.eval(), example, opset=18, dynamic_batch=False)
    data: bytes = ir.to_proto(graph).SerializeToString()
    return data


@pytest.fixture
def graph(traced: bytes) -> ir.Model:
    import onnx

    return ir.from_proto(onnx.load_model_from_string(traced))


@pytest.fixture(scope="session")
def images() -> Images:
    return Images(natural_noise(2, SIZE), "noise")


@pytest.fixture(scope="session")
def one_image(images: Images) -> np.ndarray:
    return images.array[:1]
