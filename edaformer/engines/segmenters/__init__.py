"""Segmenters: PyTorch, ONNX Runtime and TensorRT behind one contract.

A segmenter turns uint8 RGB images (B, H, W, 3) of its size into uint8 labels (B, H, W), and into
logits where it has them. Validation knows only that.
"""

from __future__ import annotations

from pathlib import Path

from edaformer.engines.artifact.kind import is_plan, refuse_provider
from edaformer.engines.artifact.served import is_address
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.onnx import OnnxSegmenter
from edaformer.engines.segmenters.plan import PlanSegmenter
from edaformer.engines.segmenters.served import ServedSegmenter


def open_artifact(
    path: Path, *, provider: str = "auto", threads: int | None = None
) -> ArtifactSegmenter:
    """The segmenter of an ``.onnx`` or ``.plan``, told apart by content, or of a served model.

    Args:
        path: the file.
        provider: for ONNX: auto, cpu or cuda.
        threads: of the CPU, for ONNX; None: all.

    Raises:
        InputError: if it is neither.
        MissingError: for a plan without a GPU.
    """
    if is_address(path):
        refuse_provider(path, provider)
        return ServedSegmenter(path)
    if not is_plan(path):
        return OnnxSegmenter(path, provider=provider, threads=threads)
    refuse_provider(path, provider)
    return PlanSegmenter(path)
