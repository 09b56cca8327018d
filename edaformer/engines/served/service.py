"""An artifact that answers requests, and is loaded again where it failed; it knows no server.

    service = Service(Path("model.onnx"))
    made = service.answer([frame], {"labels", "areas"})  # arrays by name, (1, ...)

One request is one frame, or several of one size. What a request does wrong is an InputError and
touches nobody else's. A DeviceError, which closes the engine, is told to whoever met it, and the
next request loads the artifact again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.handover.triton_python import gives_margins
from edaformer.engines.run.labeller import Labeller, open_labeller, why_refused
from edaformer.errors import DeviceError, InputError
from edaformer.labels.border import check_pictures
from edaformer.manifest import Manifest
from edaformer.media.drawing import Style, png
from edaformer.media.palette import class_colours

LABELS, AREAS, MARGINS, PNG = "labels", "areas", "margins", "png"
Frame = NDArray[np.uint8]  # RGB (H, W, 3)
_log = logging.getLogger(__name__)


class Service:
    """An artifact at the service of one thread."""

    def __init__(self, artifact: Path, *, load: Callable[[Path], Labeller] | None = None) -> None:
        """Load it; what cannot be loaded raises what Engine.load or open_labeller do."""
        self._artifact = artifact
        self._load = load or open_served
        self._labeller: Labeller | None = self._load(artifact)
        self.manifest: Manifest = self._labeller.manifest
        count = self.manifest.num_classes
        names = self.manifest.classes or tuple(f"class {index}" for index in range(count))
        colours = class_colours(self.manifest.classes, self.manifest.palette, count)
        self._style = Style(names, colours, weight=0)

    def answer(self, frames: Sequence[Frame], wanted: Collection[str]) -> dict[str, NDArray[Any]]:
        """What is wanted of the frames of one request, by name.

        Args:
            frames: of one size, at least one.
            wanted: out of labels uint8 (N, H, W), areas int64 (N, classes) in pixels, margins
                float32 (N, H, W), and png, a file's bytes as uint8 (1, length) with the labels as
                its values, of a single frame.

        Raises:
            InputError: if a frame is none, is of a size that the artifact does not take, or
                something is wanted that cannot be given.
            NaNError: if the network gives no number.
            DeviceError: if the GPU fails; the next request loads the artifact again.
        """
        self._check(frames, wanted)
        labeller = self._ready()
        try:
            made = [_labelled(labeller, frame, margins=MARGINS in wanted) for frame in frames]
        except DeviceError:
            self._labeller = None
            _log.exception("%s failed; the next request loads it again", self._artifact)
            raise
        labels = [one for one, _ in made]
        answers: dict[str, NDArray[Any]] = {LABELS: np.stack(labels)}
        if AREAS in wanted:
            answers[AREAS] = np.stack([self._areas(one) for one in labels])
        if MARGINS in wanted:
            answers[MARGINS] = np.stack([margin for _, margin in made])
        if PNG in wanted:
            file = png(self._style.paletted(labels[0]))
            answers[PNG] = np.frombuffer(bytearray(file), np.uint8)[None]
        return {name: value for name, value in answers.items() if name in wanted}

    def close(self) -> None:
        """Give back what the artifact holds."""
        if self._labeller is not None:
            self._labeller.close()
            self._labeller = None

    def _check(self, frames: Sequence[Frame], wanted: Collection[str]) -> None:
        for frame in frames:
            check_pictures(frame, batch=False)
            refused = why_refused(self.manifest, (frame.shape[0], frame.shape[1]))
            if refused is not None:
                raise InputError(f"the frame is not taken: {refused}")
        if len({frame.shape for frame in frames}) > 1:
            raise InputError("the frames of one request have one size; send each in its own")
        if PNG in wanted and len(frames) > 1:
            raise InputError(f"a request has one {PNG}, of one frame; send each in its own")

    def _ready(self) -> Labeller:
        if self._labeller is None:
            self._labeller = self._load(self._artifact)
            _log.warning("%s is loaded again", self._artifact)
        return self._labeller

    def _areas(self, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Pixels of each class."""
        counted: NDArray[np.int64] = np.bincount(labels.ravel(), minlength=256)
        return counted[: self.manifest.num_classes].astype(np.int64)


def open_served(artifact: Path) -> Labeller:
    """The labeller that a server runs: of a plan one that gives margins where it can.

    Raises:
        EdaformerError: what open_labeller or Engine.load raise.
    """
    from edaformer.engines.artifact.kind import artifact_manifest, is_plan

    if is_plan(artifact) and gives_margins(artifact_manifest(artifact), plan=True):
        from edaformer.engines.runtime import Engine

        return Engine.load(artifact, margin=True)
    return open_labeller(artifact)


def _labelled(
    labeller: Labeller, frame: Frame, *, margins: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels and margins (H, W); without ``margins`` those are empty."""
    if not margins:
        return labeller(frame), np.empty(0, np.float32)
    with_margin = getattr(labeller, "with_margin", None)
    if with_margin is None:
        raise InputError(
            "margins come from a plan with logits; export with --outputs labels,logits, build a "
            "plan, and serve that"
        )
    made: tuple[NDArray[np.uint8], NDArray[np.float32]] = with_margin(frame)
    return made
