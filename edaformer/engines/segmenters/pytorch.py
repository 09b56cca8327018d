"""The reference that every artifact is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.segmenters.segmenter import Images, Labels, Logits, labels_from_logits
from edaformer.evaluation.protocol import Size
from edaformer.labels.geometry import Geometry
from edaformer.labels.resize import resize_picture
from edaformer.labels.upsample_argmax import upsample_argmax
from edaformer.preprocess import Resize, aligned, network_input

if TYPE_CHECKING:
    from edaformer.families.network import Network


class TorchSegmenter:
    """The reference: PyTorch float32 on the CPU, padded as the artifact pads."""

    def __init__(self, model: Network, align: int | None) -> None:
        self.model = model
        self.align = align
        self.description = "PyTorch float32"

    @property
    def fill(self) -> tuple[int, int, int]:
        """The network's mean colour."""
        return self.model.normalisation.fill

    def segment(self, images: Images) -> Labels:
        """Labels of every image, one by one: memory does not grow with the batch."""
        height, width = images.shape[1:3]
        made = [labels_from_logits(self._logits(i), self.ran_at((height, width))) for i in images]
        return np.concatenate(made)[:, :height, :width]

    def logits(self, images: Images) -> Logits:
        """Logits of every image, likewise one by one."""
        return np.concatenate([self._logits(image) for image in images])

    def label_frame(self, frame: NDArray[np.uint8], size: Size, rule: Resize) -> NDArray[np.uint8]:
        """Labels of a frame (H, W, 3), resized to ``size`` by its processor's rule."""
        geometry = Geometry((frame.shape[0], frame.shape[1]), size, self.ran_at(size))
        return upsample_argmax(self._logits(resize_picture(frame, size, rule))[0], geometry)

    def ran_at(self, size: Size) -> Size:
        """``size`` in multiples of the alignment."""
        return aligned(size, self.align)

    def close(self) -> None:
        """Nothing to give back."""

    def _logits(self, image: NDArray[np.uint8]) -> Logits:
        import torch

        from edaformer.families.settings import reference_settings

        size = self.ran_at((image.shape[0], image.shape[1]))
        pixels = network_input(image[None], "tensor", self.model.normalisation, size)
        with reference_settings(), torch.inference_mode():
            made: Logits = self.model(torch.from_numpy(pixels)).numpy()
        return made
