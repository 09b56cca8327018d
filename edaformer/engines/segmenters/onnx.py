"""An ONNX file in ONNX Runtime.

Where only labels leave the graph, its logits are asked for too: an argmax hides a NaN, and the
labels there are then 255, as they are wherever labels are made of logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edaformer.engines.artifact.onnx_file import read_onnx
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.labels.frame import unhidden


class OnnxSegmenter(ArtifactSegmenter):
    """ONNX Runtime; on the CPU an FP16 graph runs as its rounding twin."""

    def __init__(self, path: Path, *, provider: str = "auto", threads: int | None = None) -> None:
        from edaformer.export.runtime import OnnxSession, uses_cuda
        from edaformer.export.twin import rounding_twin, with_logits

        file = read_onnx(path)
        manifest = file.manifest
        on_gpu = uses_cuda(provider)
        description = f"ONNX {manifest.precision}, ONNX Runtime {'CUDA' if on_gpu else 'CPU'}"
        if file.changed is not None:
            description += f", {file.changed}"
        model = with_logits(path.read_bytes())
        if manifest.half and not on_gpu:
            model = rounding_twin(model)
            description += ", float16 rounding emulated"
        self.session = OnnxSession(model, cuda=on_gpu, threads=threads)
        super().__init__(manifest, description)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once."""
        return unhidden(self.session.run({self.session.input_name: feed}), self.manifest)


class LogitsInside(OnnxSegmenter):
    """A file that gives labels alone, with the logits that they are made of."""

    @property
    def outputs(self) -> frozenset[str]:
        """The file's, and logits."""
        return super().outputs | {"logits"}

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once; all that the session gives."""
        return self.session.run({self.session.input_name: feed})
