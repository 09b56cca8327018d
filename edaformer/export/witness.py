"""Make an export's witness frames: two as the model knows them, and six that are hard by design.

black, white           no texture at all
noise, checkerboard    every step as large as can be, at random and in order
faint blobs            hardly any contrast: the classes lie close together, so that small errors
                       flip labels (of EDAFormer-T's pixels on CamVid half are within four times
                       the tolerance)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edaformer.data.scenes import LARGEST, SMALLEST, draw_scene
from edaformer.errors import GateError
from edaformer.export.verify import FP16_SHARE, Probe, check_finite, natural_noise, scale_of
from edaformer.export.wrapper import Deployment
from edaformer.labels.geometry import Geometry, Size, bilinear, labels_from_logits
from edaformer.labels.witness import Frame, Known, Labels, coarse, try_frames
from edaformer.manifest import Manifest
from edaformer.preprocess import Normalisation, network_input

HEADROOM = 8  # times the error of the graph on a CPU, on a logit
EIGHT_BITS_HEADROOM = 2  # likewise: rounding to eight bits is in the graph, not in the engine
FP32_SHARE = 1e-4  # of the logits' scale: order of summation and Winograd's convolutions
_TINY = 1e-30
_SCENES = (1, 2)  # seeds; nothing is trained or judged on them
_CELLS = (8, 32)  # blobs along a side
_CONTRAST = 20.0  # grey levels, standard deviation


def witness_frames(
    size: Size, normalisation: Normalisation, images: NDArray[np.uint8] | None
) -> dict[str, Frame]:
    """The frames by name.

    Args:
        size: (H, W) of the network.
        normalisation: whose mean colour the blobs lie around.
        images: uint8 RGB (N, H, W, 3), of which the first two are taken; None draws scenes, or
            noise where the size is none that scenes are drawn at.
    """
    draw = np.random.default_rng(0)
    if images is not None:
        typical = {f"image {at}": image for at, image in enumerate(images[:2])}
    elif all(SMALLEST <= side <= LARGEST for side in size):
        typical = {f"scene {seed}": draw_scene(seed, *size).image for seed in _SCENES}
    else:
        typical = {f"1/f noise {at}": made for at, made in enumerate(natural_noise(2, size))}
    rows, columns = np.indices(size)
    board = np.uint8(255) * ((rows + columns) % 2).astype(np.uint8)
    return typical | {
        "black": np.zeros((*size, 3), np.uint8),
        "white": np.full((*size, 3), 255, np.uint8),
        "noise": np.uint8(255) * draw.integers(0, 2, (*size, 3), dtype=np.uint8),
        "checkerboard": np.repeat(board[..., None], 3, axis=-1),
        **{f"faint blobs {cells}": _blobs(draw, size, normalisation, cells) for cells in _CELLS},
    }


def ask(
    probe: Probe,
    reference: Deployment,
    frames: dict[str, Frame],
    manifest: Manifest,
    *,
    tolerance: float | None,
) -> tuple[Known, ...]:
    """PyTorch float32's answers, which the graph itself has to give.

    How far rounding may move a logit is measured: an engine may be HEADROOM times as far from
    PyTorch as the graph that rounds every tensor to half, on this frame or the usual one; and never
    further than verification allows.

    Args:
        probe: the graph as it will be written.
        reference: the unrewritten model, its second output logits.
        frames: by name, of the export's size.
        manifest: the export's.
        tolerance: on a logit; None measures it.

    Raises:
        GateError: naming the frame that the graph labels otherwise.
    """
    asked = [_Asked.of(probe, reference, frame, manifest) for frame in frames.values()]
    usual = float(np.median([one.error for one in asked]))

    def allowed(one: _Asked) -> float:
        if manifest.eight_bits:
            return EIGHT_BITS_HEADROOM * max(one.error, usual)
        return one.tolerance(usual, half=probe.half) if tolerance is None else tolerance

    known = tuple(one.known(name, allowed(one)) for name, one in zip(frames, asked, strict=True))
    answers = iter(asked)
    trial = try_frames(known, lambda _: next(answers).given)
    if not trial.right:
        raise GateError(
            f"the exported graph is not PyTorch's: {trial.worst}; nothing was written. Export with "
            "--precision fp32, or allow it with --tolerance"
        )
    return known


@dataclass(frozen=True)
class _Asked:
    """What PyTorch and the graph make of a frame."""

    frame: Frame
    labels: Labels
    margin: NDArray[np.float32]
    given: Labels  # by the graph
    error: float  # the graph's, largest of a logit
    scale: float  # of PyTorch's logits

    @classmethod
    def of(cls, probe: Probe, reference: Deployment, frame: Frame, manifest: Manifest) -> _Asked:
        spec = manifest.input
        geometry = Geometry.of_input(spec, (frame.shape[0], frame.shape[1]))
        feed = network_input(frame[None], spec.name, spec.normalisation)
        with torch.inference_mode():
            answer = reference(torch.from_numpy(feed))[1][0]
        check_finite(answer, "a witness frame")
        logits = answer.numpy()
        made = probe.run(feed.repeat(spec.batch or 1, axis=0))
        own = np.asarray(made["logits"][0, : manifest.num_classes], np.float32)
        given = made["labels"][0] if "labels" in made else labels_from_logits(own, geometry)[0]
        labels, margin = labels_from_logits(logits, geometry)
        error = float(np.abs(own - logits).max())
        given = np.asarray(given, np.uint8)
        return cls(frame, labels, margin, given, error, max(scale_of(logits), _TINY))

    def tolerance(self, usual: float, *, half: bool) -> float:
        """Of the margin; ``usual`` is the error of the frames in between."""
        if not half:
            return FP32_SHARE * self.scale
        return min(FP16_SHARE * self.scale, HEADROOM * max(self.error, usual))

    def known(self, name: str, tolerance: float) -> Known:
        """With what rounding explains."""
        return Known(name, self.frame, self.labels, coarse(self.margin, tolerance), tolerance)


def _blobs(
    draw: np.random.Generator, size: Size, normalisation: Normalisation, cells: int
) -> Frame:
    planes = [
        mean + _CONTRAST * bilinear(draw.standard_normal((cells, cells)).astype(np.float32), size)
        for mean in normalisation.mean
    ]
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)
