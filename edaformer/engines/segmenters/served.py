"""A model on a Triton server as a segmenter: what is deployed, validated where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.artifact.served import ServedModel
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.segmenter import Images, Labels


class ServedSegmenter(ArtifactSegmenter):
    """It gives labels, of images of its own size or any other; never logits."""

    def __init__(self, path: Path) -> None:
        self._model = ServedModel(path)
        super().__init__(self._model.manifest, self._model.description)

    def segment(self, images: Images) -> Labels:
        """Labels of every image."""
        return self._model.labels(images)

    def label_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels of a frame of any size: the server resizes."""
        made: NDArray[np.uint8] = self._model.labels(frame[None])[0]
        return made

    def close(self) -> None:
        """End the connection."""
        self._model.close()
