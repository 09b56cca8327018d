"""PyTorch from camera image to label map, for comparison: what export wraps, in one precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edaformer.errors import InputError
from edaformer.export.wrapper import Deployment, Geometry
from edaformer.families.table import load_checkpoint

if TYPE_CHECKING:
    from edaformer.manifest import Manifest


class TorchFrame(nn.Module):
    """uint8 (B, H, W, 3) -> labels uint8 (B, H, W); the network alone may be float16."""

    def __init__(self, deployment: Deployment, *, half: bool) -> None:
        super().__init__()
        self.deployment = deployment
        self.dtype = torch.float16 if half else torch.float32
        deployment.model.to(self.dtype)

    def forward(self, image: Tensor) -> Tensor:
        """One frame."""
        padded = self.deployment.geometry.padded
        labels: Tensor = self.deployment.labels(self.logits(image), padded)
        return labels

    def logits(self, image: Tensor) -> Tensor:
        """(B, classes, H / 8, W / 8)."""
        assert self.deployment.normalise is not None
        pixels = self.deployment.pad(self.deployment.normalise(image))
        logits: Tensor = self.deployment.model(pixels.to(self.dtype))
        return logits


def make_frame(checkpoint: Path | str, manifest: Manifest, *, half: bool) -> TorchFrame:
    """The checkpoint as the artifact runs it: its ISR, its size, its padding.

    Raises:
        InputError: if the artifact was made from another checkpoint.
    """
    loaded = load_checkpoint(checkpoint, manifest.given)
    if loaded.sha256 != manifest.checkpoint_sha256:
        raise InputError(
            f"the artifact was made from another checkpoint ({manifest.came_from}; "
            f"{loaded.called} has {loaded.sha256[:12]}...); name its own with --checkpoint"
        )
    geometry = Geometry.of(manifest.size, manifest.input.alignment)
    model = loaded.model(manifest.isr_value)
    deployment = Deployment(model, geometry, image_input=True, outputs=("labels",))
    return TorchFrame(deployment.eval(), half=half)


def margins(frame: TorchFrame, image: Tensor) -> Tensor:
    """Top-2 margin of the resized logits, float32 (B, H, W), at the valid size."""
    from edaformer.families.fuse import upsample

    geometry = frame.deployment.geometry
    best = upsample(frame.logits(image).float(), geometry.padded).topk(2, dim=1).values
    height, width = geometry.size
    return (best[:, 0] - best[:, 1])[:, :height, :width]
