"""Our two kernels on PyTorch's tensors, without host copies: the shipped PTX, by cuda-bindings."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from on_gpu import steps

if TYPE_CHECKING:
    from edaformer.preprocess import Resize
    from on_gpu.run import Run

# Does nothing: what a launch alone takes
_EMPTY = b""".version 7.0
.target sm_75
.address_size 64
.visible .entry empty() { ret; }
\0"""


class Kernels(Protocol):
    """The two kernels on torch tensors of the same device, without host copies."""

    def preprocess(
        self, frame: Any, network: tuple[int, int], rule: Resize = "opencv-bilinear"
    ) -> Any:
        """uint8 RGB (H, W, 3) -> floats (1, 3, *network), resized and normalised."""

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        """float16 logits (1, classes, h, w) -> uint8 (*source): resized, then argmax."""

    def empty(self) -> None:
        """A kernel that does nothing."""

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        """Both kernels on these buffers as a CUDA graph; the result replays it and waits."""

    @property
    def stream(self) -> str:
        """Whose stream they are on."""


@contextlib.contextmanager
def own_kernels(run: Run, *, pycuda: bool = False) -> Iterator[Kernels]:
    """edaformer.engines.runtime.kernels, on a stream that is torch's current one inside.

    With ``pycuda`` the stream is PyCUDA's, as an engine's is, where PyCUDA imports. In a dry run
    PyTorch itself stands in.
    """
    if run.dry:
        yield _TorchKernels()
        return
    import torch

    with _pycuda_stream() if pycuda else _torch_stream() as (stream, whose):
        torch.cuda.synchronize()  # the context is there, and nothing is under way
        with torch.cuda.stream(stream), contextlib.closing(_OwnKernels(stream, whose)) as own:
            try:
                yield own
            finally:
                torch.cuda.synchronize()


@contextlib.contextmanager
def _torch_stream() -> Iterator[tuple[Any, str]]:
    import torch

    yield torch.cuda.Stream(), "PyTorch's"


@contextlib.contextmanager
def _pycuda_stream() -> Iterator[tuple[Any, str]]:
    """PyCUDA's, which lives as long as the context; torch's, with the reason, without PyCUDA."""
    import torch

    from edaformer.engines.runtime.cuda.gpu import Gpu
    from edaformer.errors import MissingError, require

    try:
        require("pycuda.driver", "cuda")
    except MissingError as error:
        yield torch.cuda.Stream(), f"PyTorch's: {error}"
        return
    torch.cuda.synchronize()  # torch's context is the thread's before PyCUDA's stack begins
    gpu = Gpu()
    with gpu.current():
        stream = gpu.stream()
    try:
        yield torch.cuda.ExternalStream(stream.handle), "PyCUDA's"
    finally:
        with gpu.current():
            del stream
        gpu.close()


def launch(function: Any, work: Any, stream: int) -> None:
    """Put a kernel on a stream, its parameters as one buffer (cuda.h: CU_LAUNCH_PARAM_*)."""
    from edaformer.engines.runtime.cuda.calls import call, driver

    arguments = work.arguments
    buffer = ctypes.create_string_buffer(arguments, len(arguments))
    size = ctypes.c_size_t(len(arguments))
    pointer_key, size_key, end = 1, 2, 0
    extra = (ctypes.c_void_p * 5)(
        pointer_key, ctypes.addressof(buffer), size_key, ctypes.addressof(size), end
    )
    call(
        "cuLaunchKernel", function, *work.grid, work.threads, 1, 1, 0,
        driver().CUstream(stream), None, ctypes.addressof(extra),
    )  # fmt: skip


class _OwnKernels:
    """The shipped PTX through cuda-bindings, in PyTorch's context, on the stream given."""

    def __init__(self, stream: Any, whose: str) -> None:
        from edaformer.engines.runtime.cuda.calls import call
        from edaformer.engines.runtime.kernels import PTX

        self.torch_stream = stream
        self.stream = whose
        self.module = call("cuModuleLoadData", PTX.read_bytes() + b"\0")
        self.nothing = call("cuModuleLoadData", _EMPTY)
        self.functions: dict[str, Any] = {}
        self.buffers: dict[Any, Any] = {}
        self.graphs: list[Any] = []

    def preprocess(
        self, frame: Any, network: tuple[int, int], rule: Resize = "opencv-bilinear"
    ) -> Any:
        import torch

        from edaformer.engines.runtime import kernels
        from edaformer.labels.geometry import Geometry
        from edaformer.preprocess import MEAN, STD

        geometry = Geometry((frame.shape[0], frame.shape[1]), network, network)
        out = self._buffer((1, 3, *network), torch.float32)
        self._launch(kernels.frame_to_tensor(
            frame.data_ptr(), out.data_ptr(), 1, geometry,
            self._resizing(rule, geometry, frame.device),
            reversed_colours=False, mean=MEAN, std=STD,
        ))  # fmt: skip
        return out

    def _resizing(self, rule: Resize, geometry: Any, device: Any) -> Any:
        """The tables, put on the device the first time: never while a graph is captured."""
        import torch

        from edaformer.engines.runtime.kernels import Resizing

        if (rule, geometry) not in self.buffers:
            made = Resizing.of(rule, geometry)
            self.buffers[rule, geometry] = made, torch.from_numpy(made.tables).to(device)
        made, tables = self.buffers[rule, geometry]
        return replace(made, address=tables.data_ptr())

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        import torch

        from edaformer.engines.runtime import kernels
        from edaformer.labels.geometry import Geometry

        out = self._buffer((1, *source), torch.uint8)
        self._launch(kernels.argmax(
            logits.data_ptr(), tuple(logits.shape), out.data_ptr(),
            Geometry(source, network, network), half=logits.dtype == torch.float16,
        ))  # fmt: skip
        return out[0]

    def empty(self) -> None:
        from edaformer.engines.runtime.cuda.calls import call, driver

        if "empty" not in self.functions:
            self.functions["empty"] = call("cuModuleGetFunction", self.nothing, b"empty")
        stream = driver().CUstream(self.torch_stream.cuda_stream)
        call("cuLaunchKernel", self.functions["empty"], 1, 1, 1, 1, 1, 1, 0, stream, None, 0)

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        from edaformer.engines.runtime.cuda.graphs import Graph

        def work() -> None:
            self.preprocess(frame, network)
            self.labels(logits, network, (frame.shape[0], frame.shape[1]))

        work()
        self.torch_stream.synchronize()
        graph = Graph(SimpleNamespace(handle=self.torch_stream.cuda_stream), work)
        self.graphs.append(graph)

        def replay() -> None:
            graph.launch()
            self.torch_stream.synchronize()

        return replay

    def close(self) -> None:
        """Give graphs and module back."""
        from edaformer.engines.runtime.cuda.calls import call

        for graph in self.graphs:
            graph.close()
        call("cuModuleUnload", self.module)
        call("cuModuleUnload", self.nothing)

    def _buffer(self, shape: tuple[int, ...], dtype: Any) -> Any:
        import torch

        if (shape, dtype) not in self.buffers:
            self.buffers[shape, dtype] = torch.empty(shape, dtype=dtype, device="cuda")
        return self.buffers[shape, dtype]

    def _launch(self, work: Any) -> None:
        from edaformer.engines.runtime.cuda.calls import call

        if work.kernel not in self.functions:
            name = work.kernel.encode()
            self.functions[work.kernel] = call("cuModuleGetFunction", self.module, name)
        launch(self.functions[work.kernel], work, self.torch_stream.cuda_stream)


class _TorchKernels:
    """PyTorch against itself: shows that the comparison runs, and nothing else."""

    stream = "none, a dry run"

    def preprocess(
        self, frame: Any, network: tuple[int, int], rule: Resize = "opencv-bilinear"
    ) -> Any:
        return steps.preprocess(frame, network, *steps.constants(frame.device), rule)

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        return steps.labels(logits, network, source)

    def empty(self) -> None:
        pass

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        def replay() -> None:
            self.preprocess(frame, network)
            self.labels(logits, network, tuple(frame.shape[:2]))

        return replay
