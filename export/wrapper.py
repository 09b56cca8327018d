"""What leaves PyTorch: the unchanged model between a camera image and a label map.

    image  uint8 (N, H, W, 3) RGB -> normalise -> pad right and bottom -> model -> logits at 1/8
    logits -> resize to the padded size -> argmax -> crop -> labels uint8 (N, H, W)

``tensor`` input takes the normalised float32 (N, 3, H, W) instead and is never padded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.model import EDAFormer
from edaformer.model.decoder import upsample
from edaformer.preprocess import MEAN, STD, aligned


@dataclass(frozen=True)
class Geometry:
    """The input's valid size and the size the network runs at, both (H, W)."""

    size: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], align: int | None) -> Geometry:
        """``size`` padded right and bottom to multiples of ``align``."""
        return cls(size, aligned(size, align))


class Normalise(nn.Module):
    """uint8 RGB (N, H, W, 3) -> normalised float (N, 3, H, W)."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Cast first: TensorRT cannot transpose uint8."""
        pixels = image.to(self.mean.dtype).permute(0, 3, 1, 2)
        return (pixels - self.mean) * self.scale


class Labels(nn.Module):
    """Logits -> labels: resize to the padded size, argmax, crop to the valid size."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry

    def forward(self, logits: Tensor) -> Tensor:
        """(N, classes, H / 8, W / 8) -> uint8 (N, H, W)."""
        height, width = self.geometry.size
        winner = upsample(logits, self.geometry.padded).argmax(dim=1)
        # TensorRT converts uint8 from floats only, and cannot slice it: crop first, by way of float
        return winner.to(logits.dtype)[:, :height, :width].to(torch.uint8)


class Deployment(nn.Module):
    """The model with its input and outputs as an application sees them."""

    def __init__(
        self, model: EDAFormer, geometry: Geometry, *, image_input: bool, outputs: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.normalise = Normalise() if image_input else None
        self.model = model
        self.labels = Labels(geometry)
        self.geometry = geometry
        self.outputs = outputs

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The outputs asked for, in their order."""
        if self.normalise is not None:
            image = self.pad(self.normalise(image))
        logits = self.model(image)
        made = {"labels": self.labels(logits) if "labels" in self.outputs else None}
        made["logits"] = logits
        return tuple(output for name in self.outputs if (output := made[name]) is not None)

    def pad(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> padded right and bottom with zeros."""
        (height, width), (rows, columns) = self.geometry.size, self.geometry.padded
        if (height, width) == (rows, columns):
            return pixels
        return functional.pad(pixels, (0, columns - width, 0, rows - height))
