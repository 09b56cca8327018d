"""An ONNX file in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.segmenters.artifact import ArtifactSegmenter


class OnnxSegmenter(ArtifactSegmenter):
    """ONNX Runtime; on the CPU an FP16 graph runs as its rounding twin."""

    def __init__(self, path: Path, *, provider: str = "auto") -> None:
        from edaformer.export.runtime import OnnxSession, uses_cuda
        from edaformer.export.twin import rounding_twin

        manifest = read_onnx_manifest(path)
        on_gpu = uses_cuda(provider)
        description = f"ONNX {manifest.precision}, ONNX Runtime {'CUDA' if on_gpu else 'CPU'}"
        if manifest.precision == "fp16" and not on_gpu:
            self.session = OnnxSession(rounding_twin(path.read_bytes()))
            description += ", float16 rounding emulated"
        else:
            self.session = OnnxSession(str(path), cuda=on_gpu)
        super().__init__(manifest, description)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once."""
        return self.session.run({self.session.input_name: feed})
