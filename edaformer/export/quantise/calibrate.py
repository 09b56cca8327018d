"""How large the tensors get that are rounded to eight bits, on images of the user's.

Histograms and percentiles are those of onnxruntime.quantization's percentile calibrator; the float
graph runs image by image in a session of ours, so that it keeps to the threads it is given and to
the memory of one image.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edaformer.errors import InputError, require
from edaformer.export.runtime import OnnxSession

PERCENTILE = 99.99  # of the magnitudes: best of those measured, docs/quantisation.md
METHOD = f"{PERCENTILE:g} % percentile of the magnitudes"
MIN_IMAGES = 8
MAX_IMAGES = 32  # by default
_BINS = 2048  # onnxruntime's own
_LEAST_CONTRAST = 1.0  # grey levels of standard deviation within an image


@dataclass(frozen=True)
class Calibration:
    """Images to measure ranges on."""

    images: NDArray[np.uint8]  # RGB (N, H, W, 3)
    names: tuple[str, ...]
    source: str  # where they come from, for people

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.names)
        self.check()

    @property
    def hashes(self) -> tuple[str, ...]:
        """SHA-256 of each image's pixels."""
        return tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in self.images)

    def check(self) -> None:
        """Refuse what no range can be learned from.

        Raises:
            InputError: naming what is wrong with the images.
        """
        if len(self.images) < MIN_IMAGES:
            raise InputError(
                f"{len(self.images)} calibration image{'s' * (len(self.images) != 1)} of "
                f"{self.source} cannot say what is usual; expected at least {MIN_IMAGES}: give "
                "--calibrate more images, or a larger --limit"
            )
        flat = [
            name
            for name, image in zip(self.names, self.images, strict=True)
            if image.std(axis=(0, 1)).max() < _LEAST_CONTRAST
        ]
        if flat:
            raise InputError(
                f"{len(flat)} of {len(self.images)} calibration images are of one colour all over "
                f"({', '.join(flat[:3])}); ranges measured on them fit no scene: leave them out of "
                f"{self.source}"
            )


def measure(
    model: ir.Model, tensors: Iterable[str], batches: Sequence[NDArray[np.generic]], *, name: str
) -> dict[str, float]:
    """The range of each tensor: what ``PERCENTILE`` of its magnitudes stay within.

    Args:
        model: a float32 graph; it is left as it is.
        tensors: names.
        batches: what goes into the input called ``name``, one after the other.
        name: the input's name.

    Raises:
        InputError: if a tensor is zero on all of them.
    """
    require("onnxruntime", "export")
    from onnxruntime.quantization.calibrate import HistogramCollector

    wanted = sorted(set(tensors))
    session = OnnxSession(_exposed(model, wanted), frugal=True)
    collector: Any = HistogramCollector("percentile", True, _BINS, _BINS, PERCENTILE, "same")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        for batch in batches:
            made = session.run({name: batch})
            collector.collect({tensor: [made[tensor]] for tensor in wanted})
        found = collector.compute_collection_result()
    ranges = {tensor: max(abs(float(value)) for value in found[tensor][:2]) for tensor in wanted}
    for tensor, largest in ranges.items():
        if not np.isfinite(largest) or largest <= 0:
            raise InputError(
                f"{tensor} is zero on all calibration images, so it has no range; calibrate on "
                "images of the scenes that the network was trained for"
            )
    return ranges


def _exposed(model: ir.Model, tensors: Sequence[str]) -> bytes:
    """A copy with these tensors as its outputs."""
    probe = ir.from_proto(ir.to_proto(model))
    values = {value.name: value for node in probe.graph for value in node.outputs}
    probe.graph.outputs.clear()
    probe.graph.outputs.extend(values[tensor] for tensor in tensors)
    data: bytes = ir.to_proto(probe).SerializeToString()
    return data
