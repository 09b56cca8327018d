"""One pass of frames through the GPU: frame to input, network, output to labels.

Three steps, each put on a stream. A step is left out where its output would be its input: a frame
that already is the network's input is read where it lies, labels of the right size are written
where they are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edaformer.engines.runtime import kernels
from edaformer.engines.runtime.cuda.gpu import launch
from edaformer.engines.runtime.network import Network, Shape, is_aligned
from edaformer.engines.runtime.tables import Tables
from edaformer.labels.geometry import Size

if TYPE_CHECKING:
    from edaformer.engines.runtime.cuda.gpu import Gpu
    from edaformer.engines.runtime.kernels import Launch


_ZERO, _ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Pass:
    """Where uint8 frames (images, H, W, 3) lie and their results go: addresses on the device."""

    images: int
    source: Size
    frames: int
    labels: int  # uint8 (images, H, W)
    margin: int | None  # float32 (images, H, W)


class Passes:
    """Puts passes on streams."""

    def __init__(
        self, gpu: Gpu, network: Network, tables: Tables, *, reversed_colours: bool
    ) -> None:
        self._kernels = gpu.load_kernels()
        self._network = network
        self._tables = tables  # prepared for every shape that comes
        self._reversed = reversed_colours

    def preprocess(self, run: Pass, shape: Shape, stream: Any) -> None:
        """Resize and normalise, unless the frames are the network's input as they are."""
        if not self._reads_frames(run, shape):
            launch(self._kernels, self._frame_kernel(run, shape), stream)

    def network(self, run: Pass, shape: Shape, stream: Any) -> None:
        """Execute the plan."""
        addresses = {}
        if self._reads_frames(run, shape):
            addresses[self._network.input] = run.frames
        if self._writes_labels(run, shape):
            addresses[self._network.output] = run.labels
        self._network.execute(stream, addresses)

    def postprocess(self, run: Pass, shape: Shape, stream: Any) -> None:
        """Labels at the source size, unless the network has written them."""
        if not self._writes_labels(run, shape):
            launch(self._kernels, self._labels_kernel(run, shape), stream)

    def _reads_frames(self, run: Pass, shape: Shape) -> bool:
        return (
            self._network.input == "image"
            and not self._reversed
            and run.source == shape.fed
            and run.images == shape.batch
            and is_aligned(run.frames)
        )

    def _writes_labels(self, run: Pass, shape: Shape) -> bool:
        return (
            self._network.gives_labels
            and run.source == shape.output[1:]
            and run.images == shape.batch
            and is_aligned(run.labels)
        )

    def _frame_kernel(self, run: Pass, shape: Shape) -> Launch:
        spec = self._network.manifest.input
        into, resizing = self._network.buffer(self._network.input), self._tables[shape.geometry]
        if spec.name == "image":
            return kernels.frame_to_image(
                run.frames, into, run.images, shape.geometry, resizing,
                size=shape.fed, fill=spec.normalisation.fill, reversed_colours=self._reversed,
            )  # fmt: skip
        geometry, mean, std, fill = shape.geometry, spec.mean, spec.std, _ZERO
        if spec.name == "planar":  # as it is: the graph normalises
            geometry, mean, std, fill = replace(geometry, padded=shape.fed), _ZERO, _ONE, spec.mean
        return kernels.frame_to_tensor(
            run.frames, into, run.images, geometry, resizing,
            reversed_colours=self._reversed, mean=mean, std=std, fill=fill,
        )  # fmt: skip

    def _labels_kernel(self, run: Pass, shape: Shape) -> Launch:
        output = self._network.buffer(self._network.output)
        if self._network.gives_labels:
            _, *held = shape.output
            return kernels.labels_nearest(
                output, run.labels, run.images, shape.geometry, (held[0], held[1])
            )
        geometry = shape.geometry
        if not self._network.gives_logits and shape.output[2:] == geometry.valid:
            geometry = replace(geometry, padded=geometry.valid)  # cropped in the graph
        _, classes, height, width = shape.output
        scores = (run.images, classes, height, width)
        return kernels.argmax(
            output, scores, run.labels, geometry, half=self._network.half, margin=run.margin
        )
