"""What leaves PyTorch: the unchanged model between a camera image and a label map.

    image  uint8 (N, H, W, 3) RGB -> normalise -> pad right and bottom -> model -> logits
    logits -> resize to the padded size -> argmax -> crop -> labels uint8 (N, H, W)

``planar`` input takes the image as float32 (N, 3, H, W). ``tensor`` input takes it normalised and
is never padded. Another output is probabilities, float32 (N, classes, H, W), of the resized logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.fuse import upsample
from edaformer.families.network import Network
from edaformer.preprocess import RELEASE, Normalisation, aligned


@dataclass(frozen=True)
class Geometry:
    """The input's valid size and the size the network runs at, both (H, W).

    A dynamic size is only an example: any multiple of the alignment, and nothing is padded.
    """

    size: tuple[int, int]
    padded: tuple[int, int]
    dynamic: bool = False

    @classmethod
    def of(cls, size: tuple[int, int], align: int | None) -> Geometry:
        """``size`` padded right and bottom to multiples of ``align``."""
        return cls(size, aligned(size, align))


class Normalise(nn.Module):
    """uint8 RGB (N, H, W, 3), or float (N, 3, H, W) if planar -> normalised float (N, 3, H, W)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, how: Normalisation = RELEASE, *, planar: bool = False) -> None:
        super().__init__()
        self.planar = planar
        self.register_buffer("mean", torch.tensor(how.mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(how.std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Cast first: TensorRT cannot transpose uint8."""
        pixels = image.to(self.mean.dtype)
        if not self.planar:
            pixels = pixels.permute(0, 3, 1, 2)
        return (pixels - self.mean) * self.scale


class Labels(nn.Module):
    """Logits -> labels: resize to the padded size, argmax, crop to the valid size."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry

    def forward(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, classes, h, w) and the padded ``size`` -> uint8 (N, H, W)."""
        winner = self.winners(logits, size)
        if self.geometry.size != self.geometry.padded:
            height, width = self.geometry.size
            winner = winner[:, :height, :width]
        # TensorRT converts uint8 from floats only and cannot slice it: crop first, by way of float
        return winner.to(torch.uint8)

    def winners(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, classes, h, w) -> the winning classes (N, H, W), as floats."""
        return upsample(logits, size).argmax(dim=1).to(logits.dtype)


class Probabilities(nn.Module):
    """Logits -> class probabilities: resize to the padded size, crop to the valid size, softmax."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry

    def forward(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, classes, H / 8, W / 8) and the padded ``size`` -> float (N, classes, H, W)."""
        values = upsample(logits, size)
        if self.geometry.size != self.geometry.padded:
            height, width = self.geometry.size
            values = values[:, :, :height, :width]
        return values.softmax(dim=1)


class Deployment(nn.Module):
    """The model with its input and outputs as an application sees them."""

    def __init__(
        self,
        model: Network,
        geometry: Geometry,
        *,
        image_input: bool,
        planar: bool = False,
        outputs: tuple[str, ...],
        shipped: tuple[str, ...] | None = None,
    ) -> None:
        """What surrounds ``model``.

        Args:
            model: as trained.
            geometry: of its input.
            image_input: whether it takes pixels rather than what is normalised already.
            planar: whether the pixels are float (N, 3, H, W) rather than uint8 (N, H, W, 3).
            outputs: out of labels, logits and probabilities.
            shipped: those of them that will leave the exported graph; None: all.
        """
        super().__init__()
        self.normalise = Normalise(model.normalisation, planar=planar) if image_input else None
        self.model = model
        self.labels = Labels(geometry)
        self.probabilities = Probabilities(geometry)
        self.geometry = geometry
        self.outputs = outputs
        self.shipped = shipped or outputs

    @property
    def input_name(self) -> str:
        """``image``, ``planar`` or ``tensor``."""
        if self.normalise is None:
            return "tensor"
        return "planar" if self.normalise.planar else "image"

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The outputs, in their order."""
        if self.normalise is not None:
            image = self.pad(self.normalise(image))
        logits = self.model(image)
        made: dict[str, Tensor] = {"logits": logits}
        if "labels" in self.outputs:
            made["labels"] = self.labels(logits, (image.shape[2], image.shape[3]))
        if "probabilities" in self.outputs:
            made["probabilities"] = self.probabilities(logits, (image.shape[2], image.shape[3]))
        return tuple(made[name] for name in self.outputs)

    def pad(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> padded right and bottom with zeros."""
        (height, width), (rows, columns) = self.geometry.size, self.geometry.padded
        if (height, width) == (rows, columns):
            return pixels
        return functional.pad(pixels, (0, columns - width, 0, rows - height))
