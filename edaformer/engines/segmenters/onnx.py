"""An ONNX file in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.errors import require


class OnnxSegmenter(ArtifactSegmenter):
    """ONNX Runtime; on the CPU an FP16 graph runs as its rounding twin."""

    def __init__(self, path: Path, *, provider: str = "auto") -> None:
        from edaformer.export.runtime import OnnxSession, uses_cuda

        manifest = read_onnx_manifest(path)
        on_gpu = uses_cuda(provider)
        description = f"ONNX {manifest.precision}, ONNX Runtime {'CUDA' if on_gpu else 'CPU'}"
        if manifest.precision == "fp16" and not on_gpu:
            self.session = OnnxSession(_twin_of(path))
            description += ", float16 rounding emulated"
        else:
            self.session = OnnxSession(str(path), cuda=on_gpu)
        super().__init__(manifest, description)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once."""
        return self.session.run({self.session.input_name: feed})


def _twin_of(path: Path) -> bytes:
    require("onnx", "export")
    import onnx_ir as ir

    from edaformer.export.twin import rounding_twin

    data: bytes = ir.to_proto(rounding_twin(ir.load(path))).SerializeToString()
    return data
