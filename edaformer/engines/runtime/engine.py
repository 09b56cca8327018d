"""The engine at work: a camera frame in, its label map out, everything between on the GPU.

    with Engine.load("model.plan") as engine:
        labels = engine(frame)  # uint8 (H, W, 3) of any size -> uint8 (H, W)

Neither torch nor onnx is needed, and importing this costs little: TensorRT, PyCUDA and
cuda.bindings are imported when an engine is loaded. docs/runtime.md says how to embed it.
"""

from __future__ import annotations

import shlex
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edaformer.closing import Closing
from edaformer.engines.runtime.frame_times import FrameTimes
from edaformer.errors import DeviceError, EdaformerError, InputError
from edaformer.labels.border import check_pictures
from edaformer.labels.no_class import check_labels

if TYPE_CHECKING:
    from edaformer.engines.artifact.plan import Plan
    from edaformer.engines.runtime.runner import Runner, Slot
    from edaformer.engines.runtime.witness import Asking
    from edaformer.manifest import Manifest

__all__ = ["Engine", "FrameTimes"]

Colour = Literal["rgb", "bgr"]
Labels = NDArray[np.uint8]
_IN_FLIGHT = 3  # frames of a stream: one comes in, one is computed, one goes out


class Engine(Closing):
    """A plan, loaded; made with ``Engine.load``.

    One thread may use it at a time; a second one is refused, and loads an engine of its own. A CUDA
    call that fails closes it: the error says so, and loading it again works.
    """

    def __init__(
        self, plan: Plan, *, colour: Colour, margin: bool, cuda_graph: bool, runtime_cache: bool
    ) -> None:
        from edaformer.engines.runtime.cuda.gpu import Gpu
        from edaformer.engines.runtime.runner import Runner

        if colour not in {"rgb", "bgr"}:
            raise InputError(f"expected colour as 'rgb' or 'bgr', got {colour!r}")
        self._lock = threading.Lock()
        self._margin = margin
        self._runner: Runner | None = None
        self._gpu: Gpu | None = Gpu()
        with self._at_work(loading=True):
            self._runner = Runner(
                plan, self._gpu, reversed_colours=colour == "bgr", margin=margin,
                cuda_graph=cuda_graph, runtime_cache=runtime_cache,
            )  # fmt: skip
        network = self._runner.network
        self.manifest: Manifest = network.manifest
        self._about = f"{plan.flavour} {network.version} {self.manifest.precision}"
        self._reversed = colour == "bgr"
        self._witness = "witness not asked"

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        colour: Colour = "rgb",
        margin: bool = False,
        cuda_graph: bool = True,
        runtime_cache: bool = True,
        witness: Asking = "once",
    ) -> Engine:
        """Load a plan that edaformer-build wrote.

        Args:
            path: the plan.
            colour: the order of the frames' channels.
            margin: whether ``with_margin`` can be called; needs a plan with logits.
            cuda_graph: launch a pass as one CUDA graph from the second time on that it comes with
                the same addresses.
            runtime_cache: keep what TensorRT-RTX compiles beside the plan; TensorRT has no such.
            witness: when the frames beside the plan, with PyTorch's answers, are asked: ``once``
                for each plan, GPU, driver and TensorRT, ``always`` or ``never``. A plan without
                such frames loads, and ``description`` says so.

        Raises:
            InputError: if the plan is none, is damaged, or does not run here.
            GateError: if it runs and labels a witness frame otherwise than PyTorch did.
            MissingError: if a package, the GPU or its driver is not here.
            DeviceError: if the GPU fails.
        """
        if witness not in {"once", "always", "never"}:
            raise InputError(f"expected witness as 'once', 'always' or 'never', got {witness!r}")
        plan = _preflight(Path(path))
        engine = cls(
            plan, colour=colour, margin=margin, cuda_graph=cuda_graph, runtime_cache=runtime_cache
        )
        try:
            engine._ask_witness(plan, witness)
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def description(self) -> str:
        """What computes, in which precision, whether in CUDA graphs, and what the witness said."""
        graphs = self._runner is not None and self._runner.uses_graphs
        return f"{self._about}, {'CUDA graph' if graphs else 'no CUDA graph'}, {self._witness}"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels of the network's valid area: frames of this size are not resized."""
        return self.manifest.size

    def __call__(self, image: Any, *, out: Labels | None = None) -> Any:
        """Labels of a frame or of a batch, at their own size.

        Args:
            image: uint8 (H, W, 3) or (B, H, W, 3); NumPy's, or on the device with
                ``__cuda_array_interface__`` or ``__dlpack__``.
            out: NumPy only: contiguous uint8 where the labels go; None makes a new array.

        Returns:
            uint8 (H, W) or (B, H, W): NumPy's, and for an image on the device a DeviceArray.

        Raises:
            InputError: if the image is none, or the engine is closed or busy.
            NaNError: if the network gives no number (of images on the device the labels are 255
                there, and nobody looks).
            DeviceError: if the GPU fails; the engine is closed then.
        """
        with self._at_work() as runner:
            if _is_on_device(image):
                if out is not None:
                    raise InputError("out is for images of NumPy's; leave it out for the device's")
                return self._label_on_device(runner, image)[0]
            frames = _frames(image)
            labels = _out(out, image.shape[:-1])
            runner.label(frames, labels.reshape(frames.shape[:3]), None)
        check_labels(labels, self.manifest.num_classes)
        return labels

    def with_margin(self, image: Any) -> tuple[Any, Any]:
        """Labels, and how far the second best class is behind: float32 of the labels' shape.

        Raises:
            InputError: as a call does, and if the engine was loaded without ``margin=True``.
            DeviceError: if the GPU fails; the engine is closed then.
        """
        if not self._margin:
            raise InputError("this engine makes no margins; use Engine.load(..., margin=True)")
        with self._at_work() as runner:
            if _is_on_device(image):
                return self._label_on_device(runner, image)
            frames = _frames(image)
            labels = np.empty(image.shape[:-1], np.uint8)
            margin = np.empty(image.shape[:-1], np.float32)
            parts = (made.reshape(frames.shape[:3]) for made in (labels, margin))
            runner.label(frames, *parts)
        check_labels(labels, self.manifest.num_classes)
        return labels, margin

    def stream(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Labels]:
        """Labels of successive frames, in their order; up to three are on their way at once.

        While one is computed, the next is copied in and the one before copied out. Frames are
        NumPy's uint8 (H, W, 3), of any sizes. Between two results the engine may be used otherwise.

        Raises:
            InputError: if a frame is none, or the engine is closed or busy.
            DeviceError: if the GPU fails; the engine is closed then.
        """
        slots: list[Slot] = []
        waiting: deque[Slot] = deque()
        try:
            for frame in frames:
                if len(waiting) == _IN_FLIGHT:
                    yield self._collect(waiting.popleft())
                waiting.append(self._submit(slots, waiting, frame))
            while waiting:
                yield self._collect(waiting.popleft())
        finally:
            if self._runner is not None:
                with self._at_work() as runner:
                    runner.free_slots(slots)

    def timed(self, image: NDArray[np.uint8]) -> tuple[Labels, FrameTimes]:
        """Labels as a call gives them, and where the time goes: one step after another, no graph.

        The frame runs three times: once for the wall time, and for the steps' once more behind a
        run that keeps the GPU at work, so that no step waits for the host.

        Raises:
            InputError: as a call does, and if there are more images than the plan takes at once.
            DeviceError: if the GPU fails; the engine is closed then.
        """
        with self._at_work() as runner:
            frames = _frames(image)
            most = runner.network.most_images
            if len(frames) > most:
                raise InputError(f"expected at most {most} images to time, got {len(frames)}")
            labels = np.empty(image.shape[:-1], np.uint8)
            return labels, runner.timed(frames, labels.reshape(frames.shape[:3]))

    def warmup(self, shape: tuple[int, ...] | None = None, n: int = 3) -> None:
        """Run ``n`` black frames, so that the next one of this shape is as quick as any.

        Args:
            shape: (H, W, 3) or (B, H, W, 3); None takes one frame of the network's size.
            n: 3 are enough for a CUDA graph: run, captured, launched.
        """
        black = np.zeros(shape or (*self.size, 3), np.uint8)
        for _ in range(n):
            self(black)

    def close(self) -> None:
        """Free everything on the device; a second time does nothing.

        Raises:
            InputError: if another thread is using it.
        """
        if self._gpu is None:
            return
        with self._locked():
            self._shut()

    def __del__(self) -> None:
        """An engine that was never closed gives the GPU's context back."""
        if getattr(self, "_gpu", None) is not None and not sys.is_finalizing():
            with suppress(Exception):
                self._shut()

    def _ask_witness(self, plan: Plan, asking: Asking) -> None:
        from edaformer.engines.runtime.witness import Witness
        from edaformer.machine.gpu import driver_version

        with self._at_work() as runner:
            gpu, network = runner.network.gpu, runner.network
            machine = f"{gpu.name}, driver {driver_version()}, {plan.flavour} {network.version}"
            verdict = network.path_beside(plan, "verdict")
        order = slice(None, None, -1 if self._reversed else 1)
        self._witness = Witness(plan, self.manifest, verdict, machine).ask(
            asking, lambda frame: self(np.ascontiguousarray(frame[..., order]))
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise InputError(
                "this engine is at work in another thread; load one engine for each thread"
            )
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _at_work(self, *, loading: bool = False) -> Iterator[Runner]:
        """For one thread, on the GPU; what goes wrong there closes the engine."""
        with self._locked():
            if self._gpu is None or (self._runner is None and not loading):
                raise InputError("this engine is closed; load it again with Engine.load")
            try:
                with self._gpu.current():
                    yield self._runner  # type: ignore[misc]  # None only while it is being loaded
            except self._gpu.cuda.Error as error:
                self._shut()
                raise DeviceError(f"a CUDA call failed ({error}); load the engine again") from error
            except DeviceError:
                self._shut()
                raise
            except BaseException:
                if loading:
                    self._shut()
                raise

    def _shut(self) -> None:
        """Give back what the GPU still lets go; a failed one frees the rest with its context."""
        gpu, runner = self._gpu, self._runner
        self._gpu = self._runner = None
        if gpu is None:
            return
        try:
            with suppress(gpu.cuda.Error, EdaformerError), gpu.current():
                if runner is not None:
                    runner.close()
        finally:
            with suppress(gpu.cuda.Error, EdaformerError):
                gpu.close()

    def _label_on_device(self, runner: Runner, image: Any) -> tuple[Any, Any]:
        from edaformer.engines.runtime.cuda.arrays import borrow

        borrowed = borrow(image, runner.stream_handle)
        _check_shape(borrowed.shape)
        return runner.label_on_device(borrowed)

    def _submit(self, slots: list[Slot], busy: deque[Slot], frame: NDArray[np.uint8]) -> Slot:
        with self._at_work() as runner:
            frames = _frames(frame)
            if len(frame.shape) != 3:
                raise InputError("expected one frame (H, W, 3) at a time in a stream, got a batch")
            free = [slot for slot in slots if slot not in busy]
            if not free:
                free = [runner.new_slot()]
                slots += free
            runner.submit(free[0], frames)
            return free[0]

    def _collect(self, slot: Slot) -> Labels:
        with self._at_work() as runner:
            labels: Labels = runner.collect(slot)[0]
        check_labels(labels, self.manifest.num_classes)
        return labels


def _preflight(path: Path) -> Plan:
    """The plan, refused where it is none or cannot run here."""
    from edaformer.engines.artifact.plan import read_plan
    from edaformer.engines.artifact.preflight import preflight

    verdict = preflight(path)
    if verdict.artifact == "onnx":
        build = shlex.join(["edaformer-build", str(path)])
        raise InputError(f"{path} is an ONNX model; build it first: {build}")
    verdict.require()
    return read_plan(path)


def _is_on_device(image: object) -> bool:
    if isinstance(image, np.ndarray):
        return False
    from edaformer.engines.runtime.cuda.arrays import is_on_device

    return is_on_device(image)


def _frames(image: Any) -> NDArray[np.uint8]:
    """NumPy's uint8 (H, W, 3) or (B, H, W, 3) -> (B, H, W, 3)."""
    frames = check_pictures(image, batch=True)
    return frames if frames.ndim == 4 else frames[None]


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in {3, 4} or shape[-1] != 3 or 0 in shape:
        raise InputError(
            f"expected an image (H, W, 3) or a batch (B, H, W, 3), got shape {tuple(shape)}"
        )


def _out(out: Labels | None, shape: tuple[int, ...]) -> Labels:
    if out is None:
        return np.empty(shape, np.uint8)
    if out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise InputError(
            f"expected out as contiguous uint8 {tuple(shape)}, got {out.dtype} {out.shape}"
        )
    return out
