"""The GPU's side of an engine: memory, streams, graphs, and passes put on them in the right order.

One thread at a time, with the GPU's context current; edaformer.engines.runtime sees to both.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.artifact.plan import Plan
from edaformer.engines.runtime.cuda.arrays import Borrowed, DeviceArray
from edaformer.engines.runtime.cuda.calls import wait_for
from edaformer.engines.runtime.cuda.gpu import Exchange, Gpu
from edaformer.engines.runtime.cuda.graphs import CaptureError, Graphs
from edaformer.engines.runtime.frame_times import FrameTimes
from edaformer.engines.runtime.network import Network, Shape
from edaformer.engines.runtime.passes import Pass, Passes
from edaformer.engines.runtime.tables import Tables
from edaformer.errors import InputError

_log = logging.getLogger(__name__)
Frames = NDArray[np.uint8]  # (B, H, W, 3)
Labels = NDArray[np.uint8]  # (B, H, W)
Margin = NDArray[np.float32]  # (B, H, W)


class Buffers:
    """Frames of one shape and what is made of them, as host and GPU both see them."""

    def __init__(self, gpu: Gpu, shape: tuple[int, ...], *, margin: bool) -> None:
        self.shape = shape  # (B, H, W, 3)
        with ExitStack() as undo:
            self.frames = Exchange(gpu, shape, np.uint8)
            undo.callback(self.frames.free)
            self.labels = Exchange(gpu, shape[:3], np.uint8)
            undo.callback(self.labels.free)
            self.margin = Exchange(gpu, shape[:3], np.float32) if margin else None
            undo.pop_all()
        self.run = Pass(
            images=shape[0],
            source=(shape[1], shape[2]),
            frames=self.frames.address,
            labels=self.labels.address,
            margin=self.margin.address if self.margin is not None else None,
        )

    def download(self, stream: Any) -> None:
        """Put the copies to the host on ``stream``."""
        self.labels.download(stream)
        if self.margin is not None:
            self.margin.download(stream)

    def free(self) -> None:
        """Give the memory back."""
        for exchange in (self.frames, self.labels, self.margin):
            if exchange is not None:
                exchange.free()


class Slot:
    """A place for one frame of a stream, and the events by which its three streams wait."""

    def __init__(self, gpu: Gpu) -> None:
        self.uploaded, self.computed, self.done = (gpu.event() for _ in range(3))
        self.buffers: Buffers | None = None
        self.image_shape: tuple[int, ...] = ()

    def free(self) -> None:
        """Give its memory back."""
        if self.buffers is not None:
            self.buffers.free()
            self.buffers = None


class Runner:
    """A loaded plan with all it needs on the GPU."""

    def __init__(
        self,
        plan: Plan,
        gpu: Gpu,
        *,
        reversed_colours: bool,
        margin: bool,
        cuda_graph: bool,
        runtime_cache: bool,
    ) -> None:
        self._gpu = gpu
        self._margin = margin
        self._buffers: Buffers | None = None
        self._slots: list[Slot] = []  # of streams under way
        self._set_to: tuple[int, tuple[int, int]] | None = None
        with ExitStack() as undo:
            self.network = Network(plan, gpu, runtime_cache=runtime_cache)
            undo.callback(self.network.close)
            if margin and not self.network.gives_logits:
                raise InputError(
                    f"{plan.path} gives no logits, of which margins are made; export it with "
                    "--for runtime"
                )
            self._tables = Tables(gpu, self.network.manifest.input.resize)
            undo.callback(self._tables.free)
            self._passes = Passes(
                gpu, self.network, self._tables, reversed_colours=reversed_colours
            )
            self._stream, self._stream_in, self._stream_out = (gpu.stream() for _ in range(3))
            self.uses_graphs = cuda_graph and self.network.is_capturable(self._stream)
            self._graphs = Graphs()
            undo.callback(self._graphs.close)
            undo.callback(self._free_buffers)
            undo.callback(lambda: self.free_slots(list(self._slots)))  # of streams left half-way
            self._closing = undo.pop_all()

    @property
    def stream_handle(self) -> int:
        """Of the stream that computes."""
        return int(self._stream.handle)

    def label(self, frames: Frames, labels: Labels, margin: Margin | None) -> None:
        """Label frames on the host into ``labels``, as many at once as the plan takes."""
        most = self.network.most_images
        for start in range(0, len(frames), most):
            part = slice(start, start + most)
            buffers = self._buffers_for(frames[part])
            self._run(("frame", buffers.run), lambda b=buffers: self._whole(b))
            self._stream.synchronize()
            np.copyto(labels[part], buffers.labels.host)
            if margin is not None and buffers.margin is not None:
                np.copyto(margin[part], buffers.margin.host)

    def label_on_device(self, image: Borrowed) -> tuple[DeviceArray, DeviceArray | None]:
        """Label frames where they lie; the results are done when this returns."""
        shape = image.shape if len(image.shape) == 4 else (1, *image.shape)
        if shape[0] > self.network.most_images:
            raise InputError(
                f"expected at most {self.network.most_images} images at once on the device, got "
                f"{shape[0]}; give fewer"
            )
        labels = DeviceArray(image.shape[:-1], np.uint8)
        margin = DeviceArray(image.shape[:-1], np.float32) if self._margin else None
        if image.stream is not None:
            wait_for(image.stream, self._stream)
        run = Pass(
            images=shape[0],
            source=(shape[1], shape[2]),
            frames=image.address,
            labels=labels.address,
            margin=margin.address if margin is not None else None,
        )
        self._set(run)
        self._run(("device", run), lambda: self._compute(run))
        self._stream.synchronize()
        return labels, margin

    def timed(self, frames: Frames, labels: Labels) -> FrameTimes:
        """Label frames that are at most one batch, step after step, without a graph.

        The wall time is of a first run. The parts are of a later one, put behind another that keeps
        the GPU at work meanwhile: between its events it never waits for the host.
        """
        start = time.perf_counter()
        buffers = self._buffers_for(frames)
        shape, run, stream = self._set(buffers.run), buffers.run, self._stream
        steps: tuple[Callable[[], None], ...] = (
            lambda: buffers.frames.upload(stream),
            lambda: self._passes.preprocess(run, shape, stream),
            lambda: self._passes.network(run, shape, stream),
            lambda: self._passes.postprocess(run, shape, stream),
            lambda: buffers.download(stream),
        )
        for step in steps:
            step()
        stream.synchronize()
        np.copyto(labels, buffers.labels.host)
        wall = time.perf_counter() - start
        for step in steps:
            step()
        marks = [self._gpu.event().record(stream)]
        for step in steps:
            step()
            marks.append(self._gpu.event().record(stream))
        stream.synchronize()
        spans = [later.time_since(one) / 1e3 for one, later in itertools.pairwise(marks)]  # from ms
        return FrameTimes(*[*spans, wall])

    def new_slot(self) -> Slot:
        """A slot for submit."""
        slot = Slot(self._gpu)
        self._slots.append(slot)
        return slot

    def submit(self, slot: Slot, frames: Frames) -> None:
        """Start on frames; the slot is a new one, or was collected."""
        buffers = slot.buffers
        if buffers is None or buffers.shape != frames.shape:
            slot.free()
            buffers = slot.buffers = Buffers(self._gpu, frames.shape, margin=self._margin)
        np.copyto(buffers.frames.host, frames)
        run = buffers.run
        self._set(run)
        buffers.frames.upload(self._stream_in)
        slot.uploaded.record(self._stream_in)
        self._stream.wait_for_event(slot.uploaded)
        self._run(("slot", run), lambda: self._compute(run))
        slot.computed.record(self._stream)
        self._stream_out.wait_for_event(slot.computed)
        buffers.download(self._stream_out)
        slot.done.record(self._stream_out)

    def collect(self, slot: Slot) -> Labels:
        """Wait for what was submitted, and copy its labels."""
        assert slot.buffers is not None, "submit comes first"
        slot.done.synchronize()
        return np.array(slot.buffers.labels.host)

    def free_slots(self, slots: list[Slot]) -> None:
        """Wait for all work and free them; graphs that are bound to them go too."""
        self._synchronize()
        self._graphs.close()
        for slot in slots:
            self._slots.remove(slot)
            slot.free()
            del slot.uploaded, slot.computed, slot.done

    def close(self) -> None:
        """Free everything, while the context is still there to be freed from."""
        try:
            self._closing.close()
        finally:
            del self._passes, self._stream, self._stream_in, self._stream_out

    def _whole(self, buffers: Buffers) -> None:
        """A frame from the host and its labels back, on one stream."""
        buffers.frames.upload(self._stream)
        self._compute(buffers.run)
        buffers.download(self._stream)

    def _compute(self, run: Pass) -> None:
        shape = self._shape
        self._passes.preprocess(run, shape, self._stream)
        self._passes.network(run, shape, self._stream)
        self._passes.postprocess(run, shape, self._stream)

    def _run(self, key: tuple[str, Pass], work: Any) -> None:
        if self.uses_graphs:
            try:
                self._graphs.run(key, self._stream, work)
            except CaptureError as error:
                _log.warning("this plan runs without a CUDA graph: %s", error)
                self.uses_graphs = False
        if not self.uses_graphs:
            work()

    def _set(self, run: Pass) -> Shape:
        """Set network and tables to the pass's shape; graphs of what is freed are void then."""
        if self._set_to != (run.images, run.source):
            self._synchronize()  # memory that is in use may be made anew
            before = self.network.input_shape
            self._shape = self.network.shape_for(run.images, run.source)
            has_room = self._tables.has_room(self._shape.geometry)
            if before != self.network.input_shape or not has_room:
                self._graphs.close()
            if not has_room:
                self._tables.free()
            self._tables.prepare(self._shape.geometry, self._stream)
            self._set_to = (run.images, run.source)
        return self._shape

    def _buffers_for(self, frames: Frames) -> Buffers:
        """The buffers of this shape, with the frames in them and the network set to them."""
        if self._buffers is None or self._buffers.shape != frames.shape:
            self._free_buffers()
            self._buffers = Buffers(self._gpu, frames.shape, margin=self._margin)
        np.copyto(self._buffers.frames.host, frames)
        self._set(self._buffers.run)
        return self._buffers

    def _free_buffers(self) -> None:
        if self._buffers is not None:
            self._synchronize()
            self._graphs.close()
            self._buffers.free()
            self._buffers = None

    def _synchronize(self) -> None:
        for stream in (self._stream_in, self._stream, self._stream_out):
            stream.synchronize()
