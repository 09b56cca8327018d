"""Frames of any size in, their labels out, in order: a plan or an ONNX file behind one contract.

Both follow labels/geometry.py: the frame is resized to the artifact's valid area, by the rule that
its manifest names, and the labels are made at the frame's own size. A plan does it on the GPU,
several frames on their way at once (``Engine.stream``); an ONNX file in ONNX Runtime, one after the
other. On the CPU, ONNX Runtime computes an FP16 graph in float32; edaformer-validate is what
emulates its rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.artifact.kind import is_plan, refuse_provider
from edaformer.engines.artifact.served import ServedModel, is_address
from edaformer.errors import InputError, ISRError
from edaformer.labels.border import check_pictures
from edaformer.labels.frame import label_frame, unhidden
from edaformer.labels.geometry import Size
from edaformer.labels.no_class import check_labels
from edaformer.manifest import Manifest
from edaformer.preprocess import format_size

Frames = Iterable[NDArray[np.uint8]]  # each RGB (H, W, 3), of any sizes
Labels = NDArray[np.uint8]  # (H, W)


class Labeller(Protocol):
    """An artifact, ready to label."""

    manifest: Manifest

    @property
    def description(self) -> str:
        """One line: what computes, in which precision."""

    def __call__(self, frame: NDArray[np.uint8], /) -> Labels:
        """Labels of one frame at its own size; NaNError where the network gives none."""

    def stream(self, frames: Frames) -> Iterator[Labels]:
        """Labels of every frame, in order."""

    def close(self) -> None:
        """Give back what it holds."""


class OnnxLabeller:
    """ONNX Runtime."""

    def __init__(self, path: Path, *, provider: str = "auto") -> None:
        from edaformer.engines.artifact.onnx_file import read_onnx
        from edaformer.export.runtime import OnnxSession, uses_cuda
        from edaformer.export.twin import with_logits

        file = read_onnx(path)
        self.manifest = file.manifest
        on_gpu = uses_cuda(provider)
        self._session = OnnxSession(with_logits(path.read_bytes()), cuda=on_gpu)
        emulated = self.manifest.half and not on_gpu
        self.description = (
            f"ONNX {self.manifest.precision}, ONNX Runtime {'CUDA' if on_gpu else 'CPU'}"
            f"{', computed in float32' if emulated else ''}"
            f"{f', {file.changed}' if file.changed else ''}"
        )

    def __call__(self, frame: NDArray[np.uint8], /) -> Labels:
        """Labels of one frame at its own size."""
        check_pictures(frame, batch=False)
        source = (frame.shape[0], frame.shape[1])
        labels = label_frame(frame, self.manifest.input, lambda feed: self._run(feed, source))
        check_labels(labels, self.manifest.num_classes)
        return labels

    def stream(self, frames: Frames) -> Iterator[Labels]:
        """Labels of every frame, one after the other."""
        return map(self, frames)

    def close(self) -> None:
        """The session is freed with this object."""

    def _run(self, feed: NDArray[Any], source: Size) -> dict[str, NDArray[Any]]:
        try:
            made = self._session.run({self._session.input_name: feed})
        except InputError as error:
            raise InputError(
                f"ONNX Runtime fails on a frame of {format_size(source)}: {error}; export the "
                "model again, or use another size"
            ) from error
        return unhidden(made, self.manifest)


class ServedLabeller:
    """A model on a Triton server."""

    def __init__(self, path: Path) -> None:
        self._model = ServedModel(path)
        self.manifest = self._model.manifest
        self.description = self._model.description

    def __call__(self, frame: NDArray[np.uint8], /) -> Labels:
        """Labels of one frame at its own size."""
        check_pictures(frame, batch=False)
        labels: Labels = self._model.labels(frame[None])[0]
        check_labels(labels, self.manifest.num_classes)
        return labels

    def stream(self, frames: Frames) -> Iterator[Labels]:
        """Labels of every frame, one after the other."""
        return map(self, frames)

    def close(self) -> None:
        """End the connection."""
        self._model.close()


def open_labeller(path: Path, *, provider: str = "auto") -> Labeller:
    """The labeller of an ``.onnx`` or ``.plan``, told apart by content, or of a served model.

    Raises:
        InputError: if it is neither, or a plan that does not run here.
        MissingError: if a package, or for a plan the GPU, is not here.
        ServerError: if the server does not answer.
    """
    if is_address(path):
        refuse_provider(path, provider)
        return ServedLabeller(path)
    if not is_plan(path):
        return OnnxLabeller(path, provider=provider)
    refuse_provider(path, provider)
    from edaformer.engines.runtime import Engine

    return Engine.load(path)


def why_refused(manifest: Manifest, size: Size) -> str | None:
    """Why the artifact does not take a frame of ``size`` (H, W); a fixed one takes any."""
    spec, source = manifest.input, format_size(size)
    if not spec.dynamic_size:
        return None
    height, width = spec.ran_at(size)
    try:
        manifest.isr_value.check_fits(height, width)
    except ISRError as error:
        return str(error)
    bounds = manifest.engine.bounds if manifest.engine is not None else None
    if bounds is None:
        return None
    least, most = bounds.least[1:], bounds.most[1:]
    if least[0] <= height <= most[0] and least[1] <= width <= most[1]:
        return None
    return (
        f"it is {source}, and the plan was built for {format_size(least)} to {format_size(most)}; "
        "build it with other bounds, or scale the frame"
    )
