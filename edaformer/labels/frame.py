"""A frame to its labels as the runtime makes them, around any network on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.geometry import Geometry, resize_labels
from edaformer.labels.no_class import NO_CLASS
from edaformer.labels.resize import resize_picture
from edaformer.labels.upsample_argmax import upsample_argmax
from edaformer.manifest import InputSpec, Manifest
from edaformer.preprocess import network_input

Outputs = dict[str, NDArray[Any]]  # by name, (batch, ...)
Run = Callable[[NDArray[Any]], Outputs]


def label_frame(frame: NDArray[np.uint8], spec: InputSpec, run: Run) -> NDArray[np.uint8]:
    """Labels at the frame's own size.

    Args:
        frame: uint8 RGB (H, W, 3); resized to the valid area by the rule that the manifest names.
        spec: the input that ``run`` takes.
        run: the network's input to its outputs; a fixed batch is filled by repeating.
    """
    geometry = Geometry.of_input(spec, (frame.shape[0], frame.shape[1]))
    image = resize_picture(frame, geometry.valid, spec.resize)
    feed = network_input(image[None], spec.name, spec.normalisation, spec.fed_at(geometry.valid))
    return _labels(run(np.repeat(feed, spec.batch or 1, axis=0)), geometry)


def unhidden(made: Outputs, manifest: Manifest) -> Outputs:
    """The outputs that the manifest names; labels are 255 where logits beside them are NaN."""
    named = {output.name for output in manifest.outputs}
    logits, labels = made.get("logits"), made.get("labels")
    if logits is not None and labels is not None and np.isnan(logits).any():
        size = (labels.shape[1], labels.shape[2])
        geometry = Geometry(size, size, manifest.input.ran_at(size))
        nan = [upsample_argmax(one, geometry) == NO_CLASS for one in logits]
        made["labels"] = np.where(nan, np.uint8(NO_CLASS), labels)
    return {name: value for name, value in made.items() if name in named}


def _labels(made: Outputs, geometry: Geometry) -> NDArray[np.uint8]:
    """Of the first image; of several outputs the one that the runtime takes."""
    source, valid = geometry.source, geometry.valid
    if "logits" in made:
        return upsample_argmax(made["logits"][0], geometry)
    if "labels" in made:
        labels = np.asarray(made["labels"][0, : valid[0], : valid[1]], np.uint8)
        return labels if source == valid else resize_labels(labels, source)
    return upsample_argmax(made["probabilities"][0], Geometry(source, valid, valid))
