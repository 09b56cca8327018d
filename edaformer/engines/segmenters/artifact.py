"""What an ONNX file and a plan have in common as segmenters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.segmenters.segmenter import Images, Labels, Logits, labels_from_logits
from edaformer.errors import InputError
from edaformer.evaluation.protocol import Size
from edaformer.labels.border import check_pictures
from edaformer.labels.frame import label_frame
from edaformer.manifest import Manifest
from edaformer.preprocess import network_input


class ArtifactSegmenter:
    """What ONNX and plan have in common: the manifest's input and outputs, fixed batches."""

    def __init__(self, manifest: Manifest, description: str) -> None:
        self.manifest = manifest
        self.description = description

    @property
    def fill(self) -> tuple[int, int, int]:
        """The manifest's mean colour."""
        return self.manifest.input.normalisation.fill

    @property
    def outputs(self) -> frozenset[str]:
        """Out of labels, logits and probabilities."""
        return frozenset(output.name for output in self.manifest.outputs)

    def segment(self, images: Images) -> Labels:
        """Labels of every image; a fixed batch is filled up by repeating the last."""
        size = (check_pictures(images, batch=True).shape[1], images.shape[2])
        return np.concatenate([self._labels(*made, size) for made in self._runs(images)])

    def logits(self, images: Images) -> Logits:
        """Logits of every image, likewise.

        Raises:
            InputError: if the artifact has none.
        """
        if "logits" not in self.outputs:
            raise InputError(
                "this needs logits and the artifact gives none; export it with "
                "--outputs labels,logits"
            )
        runs = [outputs["logits"][:count] for outputs, count in self._runs(images)]
        return np.asarray(np.concatenate(runs), np.float32)

    def label_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels of a frame (H, W, 3) of any size, resized and labelled as the runtime does."""
        return label_frame(frame, self.manifest.input, self.infer)

    def ran_at(self, size: Size) -> Size:
        """The padded size, as the manifest has it."""
        return self.manifest.input.ran_at(size)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once: the input array in, outputs by name."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what it holds."""

    def _runs(self, images: Images) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
        """The outputs of each run, and how many of its images are not there to fill it up."""
        spec, size = self.manifest.input, (images.shape[1], images.shape[2])
        self.manifest.isr_value.check_fits(*self.ran_at(size))
        fed = spec.fed_at(size)
        batch = spec.batch or len(images)
        for start in range(0, len(images), batch):
            part = _filled(images[start : start + batch], batch)
            feed = network_input(part, spec.name, spec.normalisation, fed)
            yield self.infer(feed), min(batch, len(images) - start)

    def _labels(self, outputs: dict[str, NDArray[Any]], count: int, size: Size) -> Labels:
        """Cropped to what was padded, where the graph does not do so itself."""
        if "labels" in outputs:
            made = np.asarray(outputs["labels"][:count], np.uint8)
        elif "logits" in outputs:
            made = labels_from_logits(outputs["logits"][:count], self.ran_at(size))
        else:
            made = np.asarray(outputs["probabilities"][:count].argmax(axis=1), np.uint8)
        return made[:, : size[0], : size[1]]


def _filled(images: Images, batch: int) -> Images:
    return images[np.minimum(np.arange(batch), len(images) - 1)]
