"""The GPU through PyCUDA: its primary context, streams, kernels, memory that frames travel through.

PyCUDA wants its own stack of contexts to say which one is current, so every use happens inside
``Gpu.current()``. The primary context is the one that PyTorch and CuPy use in the same process.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edaformer.engines.runtime.cuda.calls import call, driver
from edaformer.engines.runtime.kernels import PTX
from edaformer.errors import DeviceError, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edaformer.engines.runtime.kernels import Launch

_WORD = 4  # bytes
_NON_BLOCKING = 1  # cuda.h: CU_STREAM_NON_BLOCKING; work on the default stream does not hold it up


class Gpu:
    """The first visible GPU, held until ``close``."""

    def __init__(self) -> None:
        driver()
        self.cuda: Any = require("pycuda.driver", "cuda")
        try:
            self.cuda.init()
            self._find()
        except self.cuda.Error as error:
            raise DeviceError(
                f"the GPU does not start ({error}); see what nvidia-smi says"
            ) from error

    def _find(self) -> None:
        self.device = self.cuda.Device(0)
        self.name: str = self.device.name()
        self.capability: tuple[int, int] = self.device.compute_capability()
        self.integrated = bool(self.device.get_attribute(self.cuda.device_attribute.INTEGRATED))
        self._context: Any = self.device.retain_primary_context()
        self._thread = threading.get_ident()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """The context is this thread's current one inside."""
        self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()

    def stream(self) -> Any:
        """A stream of its own."""
        return self.cuda.Stream(_NON_BLOCKING)

    def event(self) -> Any:
        """An event that knows its time."""
        return self.cuda.Event()

    def allocate(self, size: int) -> Any:
        """``size`` bytes of device memory; ``int()`` of it is its address, ``free()`` ends it.

        Rounded up to the words that kernels read frames by.
        """
        return self.cuda.mem_alloc(max(-(-size // _WORD) * _WORD, _WORD))

    def load_kernels(self) -> dict[str, Any]:
        """The kernels by name; the driver compiles them for this GPU, and keeps what it made."""
        module = self.cuda.module_from_buffer(PTX.read_bytes())
        return _Kernels(module)

    def close(self) -> None:
        """Give the context back.

        PyCUDA releases a context only in the thread that retained it, and then leaves it current
        there; the driver is asked directly for what PyCUDA leaves.
        """
        self._context.detach()
        if threading.get_ident() == self._thread:
            call("cuCtxPopCurrent")
        else:
            call("cuDevicePrimaryCtxRelease", 0)


class _Kernels(dict[str, Any]):
    """Looks a kernel up once."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def __missing__(self, name: str) -> Any:
        self[name] = self.module.get_function(name)
        return self[name]


def launch(kernels: dict[str, Any], work: Launch, stream: Any) -> None:
    """Put a kernel on a stream."""
    kernels[work.kernel](
        np.void(work.arguments), grid=work.grid, block=(work.threads, 1, 1), stream=stream
    )


class Exchange:
    """An array that the host and the GPU both see.

    On a GPU with its own memory that is pinned host memory and a copy on the device; on one that
    shares the host's (Jetson) the pinned memory itself, mapped, and nothing is ever copied.
    """

    def __init__(self, gpu: Gpu, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        flags = gpu.cuda.host_alloc_flags.DEVICEMAP if gpu.integrated else 0
        self.host: NDArray[Any] = gpu.cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        self._cuda = gpu.cuda
        self._device = None if gpu.integrated else gpu.allocate(self.host.nbytes)

    @property
    def address(self) -> int:
        """Where kernels find it."""
        if self._device is None:
            base: Any = self.host.base
            return int(base.get_device_pointer())
        return int(self._device)

    def upload(self, stream: Any) -> None:
        """Put the copy to the device on ``stream``, if one is needed."""
        if self._device is not None:
            self._cuda.memcpy_htod_async(self._device, self.host, stream)

    def download(self, stream: Any) -> None:
        """Put the copy to the host on ``stream``, if one is needed."""
        if self._device is not None:
            self._cuda.memcpy_dtoh_async(self.host, self._device, stream)

    def free(self) -> None:
        """Give the memory back; arrays that were taken from ``host`` must be gone."""
        if self._device is not None:
            self._device.free()
        base: Any = self.host.base
        base.free()
