"""PyCUDA and cuda.bindings where no GPU is: streams that lag, kernels that really compute.

What a stream is given happens only when somebody waits for it, and streams that do not wait for
each other take turns by chance: a missing wait, a buffer written too early or a graph captured
before its addresses changed gives wrong labels here, as it may on a GPU.

The names and signatures are PyCUDA 2026.1's and cuda-bindings 13's, and only those that the runtime
uses; tests/engines/runtime/test_standin_cuda.py compares them with the real packages.
"""

from __future__ import annotations

import ctypes
import functools
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.standins.kernels import library

Work = Callable[[], None]


class Error(Exception):
    pass


class LogicError(Error):
    pass


@dataclass
class Machine:
    """The GPU's state; a test looks into it, and lets calls fail."""

    integrated: bool = False
    seed: int = 0
    fail: str | None = None  # the next call of this name fails, and all after it
    refused: set[str] = field(default_factory=set)  # calls that fail and break nothing
    broken: bool = False  # until the context is made anew
    contexts: int = 0  # retained
    blocks: dict[int, Any] = field(default_factory=dict)  # device memory by address
    memory: list[Any] = field(default_factory=list)  # all there ever was: no address comes twice
    pinned: int = 0  # arrays of pinned memory that are not freed
    calls: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)  # in the order in which they ran
    streams: dict[int, _Stream] = field(default_factory=dict)
    graphs: set[int] = field(default_factory=set)  # instantiated and not destroyed
    events: dict[int, Any] = field(default_factory=dict)
    ordinals: dict[int, int] = field(default_factory=dict)  # of addresses on other GPUs
    driver_stack: list[int] = field(default_factory=list)
    local: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def call(self, name: str) -> bool:
        """Note a call; False where it has to fail."""
        self.calls.append(name)
        if name in self.refused:
            return False
        if self.fail == name:
            self.broken, self.fail = self.contexts > 0, None
            return False
        return not self.broken

    def stack(self) -> list[Any]:
        """PyCUDA's contexts of this thread."""
        if not hasattr(self.local, "stack"):
            self.local.stack = []
        return self.local.stack

    def holds(self, address: int, size: int) -> bool:
        return any(start <= address and address + size <= start + len(block)
                   for start, block in self.blocks.items())  # fmt: skip

    def add_stream(self, handle: int) -> _Stream:
        self.streams[handle] = _Stream(handle)
        return self.streams[handle]

    def allocate(self, size: int) -> int:
        block = (ctypes.c_char * (size + 512))()
        address = -(-ctypes.addressof(block) // 256) * 256
        self.blocks[address] = (ctypes.c_char * size).from_address(address)
        self.memory.append(block)
        return address

    def free(self, address: int) -> None:
        ctypes.memset(address, 0xEE, len(self.blocks.pop(address)))

    def work_off(self, done: Callable[[], bool]) -> None:
        """Let streams proceed, in any order that their waits allow, until ``done``."""
        while not done():
            ready = [stream for stream in self.streams.values() if stream.is_ready()]
            assert ready, "every stream waits for another one"
            self.random.choice(ready).step()


@dataclass
class _Stream:
    handle: int
    queue: deque[Work | _Event] = field(default_factory=deque)
    captured: list[Work] | None = None

    def put(self, work: Work | _Event) -> None:
        if self.captured is not None:
            assert not isinstance(work, _Event), "the runtime captures no waits"
            self.captured.append(work)
        else:
            self.queue.append(work)

    def is_ready(self) -> bool:
        head = self.queue[0] if self.queue else None
        return head is not None and (not isinstance(head, _Event) or head.happened)

    def step(self) -> None:
        head = self.queue.popleft()
        if not isinstance(head, _Event):
            head()


@dataclass
class _Event:
    """One recording of an event: waiting is for the recording, not for later ones."""

    happened: bool = False


def install(machine: Machine) -> dict[str, ModuleType]:
    """Modules for sys.modules."""
    driver = ModuleType("pycuda.driver")
    vars(driver).update(_pycuda(machine))
    bindings = ModuleType("cuda.bindings.driver")
    vars(bindings).update(_bindings(machine))
    return {
        "pycuda": ModuleType("pycuda"),
        "pycuda.driver": driver,
        "cuda": ModuleType("cuda"),
        "cuda.bindings": ModuleType("cuda.bindings"),
        "cuda.bindings.driver": bindings,
    }


def _pycuda(machine: Machine) -> dict[str, Any]:  # noqa: C901  # a module's classes
    def check(name: str, *, needs_context: bool = True) -> None:
        if needs_context and not machine.stack():
            raise LogicError(f"{name} failed: invalid device context")
        if not machine.call(name):
            raise LogicError(f"{name} failed: an illegal memory access was encountered")

    class device_attribute:  # noqa: N801
        INTEGRATED = "INTEGRATED"

    class host_alloc_flags:  # noqa: N801
        DEVICEMAP = 2

    class Context:
        def __init__(self) -> None:
            self._valid, self._thread = True, threading.get_ident()

        def push(self) -> None:
            if not self._valid:
                raise LogicError("cuCtxPushCurrent failed: invalid device context")
            machine.stack().append(self)

        @staticmethod
        def pop() -> None:
            if not machine.stack():
                raise LogicError("context::pop failed: invalid device context")
            machine.stack().pop()

        def detach(self) -> None:
            assert self._valid
            assert self not in machine.stack(), "leaves PyCUDA's stack in disorder"
            self._valid = False
            if self._thread == threading.get_ident():
                machine.driver_stack.append(1)  # PyCUDA pushes it and does not pop it
                _release(machine)

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        def name(self) -> str:
            return "Stand-in (R) GPU"

        def compute_capability(self) -> tuple[int, int]:
            return 8, 7

        def get_attribute(self, attr: str) -> int:
            return int(machine.integrated)

        def retain_primary_context(self) -> Context:
            check("retain_primary_context", needs_context=False)
            machine.contexts += 1
            return Context()

    class DeviceAllocation:
        def __init__(self, size: int) -> None:
            self._address = machine.allocate(size)

        def __int__(self) -> int:
            return self._address

        def free(self) -> None:
            check("free")
            machine.free(self._address)

        def __del__(self) -> None:
            machine.blocks.pop(self._address, None)

    class PagelockedHostAllocation:
        """What an array of pinned memory has as its base."""

        def __init__(self, size: int, *, mapped: bool) -> None:
            self._memory = DeviceAllocation(size)
            if not mapped:
                machine.blocks.pop(int(self._memory))  # kernels cannot read it
            self._mapped = mapped
            machine.pinned += 1
            self.__array_interface__ = {
                "shape": (size,), "typestr": "|u1", "version": 3,
                "data": (int(self._memory), False),
            }  # fmt: skip

        def get_device_pointer(self) -> int:
            assert self._mapped, "was not allocated with DEVICEMAP"
            return int(self._memory)

        def free(self) -> None:
            check("host_free")
            machine.pinned -= 1
            machine.blocks.pop(int(self._memory), None)

    class _Based(np.ndarray):  # type: ignore[type-arg]
        """NumPy collapses chains of bases; PyCUDA's arrays keep theirs."""

        allocation: Any = None

        @property
        def base(self) -> Any:
            return self.allocation

    def pagelocked_empty(
        shape: tuple[int, ...], dtype: Any, order: str = "C", mem_flags: int = 0
    ) -> NDArray[Any]:
        check("pagelocked_empty")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        owner = PagelockedHostAllocation(size, mapped=mem_flags == host_alloc_flags.DEVICEMAP)
        made = np.asarray(owner).view(dtype).reshape(shape).view(_Based)
        made.allocation = owner
        return made

    class Stream:
        def __init__(self, flags: int = 0) -> None:
            check("Stream")
            assert flags == 1, "a stream of its own does not wait for the default one"
            self.handle = 1000 + len(machine.streams)
            machine.streams[self.handle] = _Stream(self.handle)

        def synchronize(self) -> None:
            check("synchronize")
            mine = machine.streams[self.handle]
            assert mine.captured is None, "waiting ends a capture with an error"
            machine.work_off(lambda: not mine.queue)

        def wait_for_event(self, evt: Event) -> None:
            check("wait_for_event")
            assert evt.recorded is not None
            machine.streams[self.handle].put(evt.recorded)

    class Event:
        def __init__(self, flags: int = 0) -> None:
            check("Event")
            self.recorded: _Event | None = None
            self.clock = 0

        def record(self, stream: Stream | None = None) -> Event:
            check("record")
            assert stream is not None
            mine = self.recorded = _Event()

            def happen() -> None:
                mine.happened = True
                self.clock = len(machine.kernels)

            machine.streams[stream.handle].put(happen)
            return self

        def synchronize(self) -> Event:
            check("event_synchronize")
            mine = self.recorded
            assert mine is not None
            machine.work_off(lambda: mine.happened)
            return self

        def time_since(self, event: Event) -> float:
            return float(self.clock - event.clock)

    class Function:
        def __init__(self, name: str) -> None:
            self._name = name

        def __call__(self, *args: Any, **kwargs: Any) -> None:
            check("launch_kernel")
            block, grid, stream = (kwargs.pop(key) for key in ("block", "grid", "stream"))
            assert not kwargs
            (packed,) = args
            assert isinstance(packed, np.void)
            data, name = packed.tobytes(), self._name

            def work() -> None:
                machine.kernels.append(name)
                pointers = 3 if name.startswith("frame") else 2  # what it reads and writes
                for pointer in np.frombuffer(data, np.uint64, pointers):
                    assert machine.holds(int(pointer), 1), f"{name} is given freed memory"
                dims = (ctypes.c_int * 3)(*grid)
                getattr(library(), name)(ctypes.c_char_p(data), dims, block[0])

            assert block[1:] == (1, 1)
            machine.streams[stream.handle].put(work)

    class Module:
        def get_function(self, name: str) -> Function:
            assert hasattr(library(), name)
            return Function(name)

    def module_from_buffer(buffer: bytes, **_: Any) -> Module:
        check("module_from_buffer")
        assert b".version 8.5" in buffer
        return Module()

    def mem_alloc(bytes: int) -> DeviceAllocation:  # noqa: A002
        check("mem_alloc")
        return DeviceAllocation(bytes)

    def memcpy_htod_async(dest: Any, src: NDArray[Any], stream: Stream | None = None) -> None:
        check("memcpy_htod_async")
        _copy(int(dest), src.ctypes.data, src, int(dest), stream)

    def memcpy_dtoh_async(dest: NDArray[Any], src: Any, stream: Stream | None = None) -> None:
        check("memcpy_dtoh_async")
        _copy(dest.ctypes.data, int(src), dest, int(src), stream)

    def _copy(to: int, source: int, host: NDArray[Any], device: int, stream: Stream | None) -> None:
        assert stream is not None
        assert isinstance(host, _Based), "only pinned memory is copied asynchronously"
        assert host.flags.c_contiguous
        assert machine.holds(device, host.nbytes)
        machine.streams[stream.handle].put(lambda: ctypes.memmove(to, source, host.nbytes))

    def init(flags: int = 0) -> None:
        check("init", needs_context=False)

    known = (
        Error, LogicError, Context, Device, DeviceAllocation, PagelockedHostAllocation, Stream,
        Event, Function, Module, device_attribute, host_alloc_flags, pagelocked_empty,
        module_from_buffer, mem_alloc, memcpy_htod_async, memcpy_dtoh_async, init,
    )  # fmt: skip
    return {thing.__name__: thing for thing in known}


def _release(machine: Machine) -> None:
    """The primary context goes with its last owner, and with it what was broken."""
    machine.contexts -= 1
    if machine.contexts == 0:
        machine.broken = False
        machine.blocks.clear()
        machine.streams.clear()


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1
    CU_STREAM_CAPTURE_MODE_RELAXED = 2


class CUpointer_attribute(IntEnum):  # noqa: N801
    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9


class CUstream(int):
    pass


@dataclass(frozen=True)
class _Graph:
    number: int
    work: tuple[Work, ...] = field(compare=False)


def _bindings(machine: Machine) -> dict[str, Any]:  # noqa: C901  # a module's functions
    numbers = iter(range(1, 1 << 30))

    made: dict[str, Any] = {}

    def function(work: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
        """As cuda.bindings: every function gives a tuple that opens with a CUresult."""

        @functools.wraps(work)
        def call(*arguments: Any) -> tuple[Any, ...]:
            if not machine.call(work.__name__):
                return (CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, None)
            return (CUresult.CUDA_SUCCESS, *work(*arguments))

        made[work.__name__] = call
        return call

    @function
    def cuStreamBeginCapture(hStream: CUstream, mode: CUstreamCaptureMode) -> tuple[Any, ...]:  # noqa: N802, N803
        assert isinstance(mode, CUstreamCaptureMode)
        machine.streams[hStream].captured = []
        return ()

    @function
    def cuStreamEndCapture(hStream: CUstream) -> tuple[Any, ...]:  # noqa: N802, N803
        stream = machine.streams[hStream]
        captured, stream.captured = stream.captured, None
        assert captured is not None
        return (_Graph(next(numbers), tuple(captured)),)

    @function
    def cuGraphInstantiate(hGraph: _Graph, flags: int) -> tuple[Any, ...]:  # noqa: N802, N803
        machine.graphs.add(hGraph.number)
        return (hGraph,)

    @function
    def cuGraphLaunch(hGraphExec: _Graph, hStream: CUstream) -> tuple[Any, ...]:  # noqa: N802, N803
        assert hGraphExec.number in machine.graphs
        for work in hGraphExec.work:
            machine.streams[hStream].put(work)
        return ()

    @function
    def cuGraphDestroy(hGraph: _Graph) -> tuple[Any, ...]:  # noqa: N802, N803
        return ()

    @function
    def cuGraphExecDestroy(hGraphExec: _Graph) -> tuple[Any, ...]:  # noqa: N802, N803
        machine.graphs.remove(hGraphExec.number)
        return ()

    @function
    def cuCtxPopCurrent() -> tuple[Any, ...]:  # noqa: N802
        machine.driver_stack.pop()
        return (1,)

    @function
    def cuCtxPushCurrent(ctx: int) -> tuple[Any, ...]:  # noqa: N802
        assert machine.contexts, "the context is gone"
        machine.driver_stack.append(ctx)
        return ()

    @function
    def cuDevicePrimaryCtxRetain(dev: int) -> tuple[Any, ...]:  # noqa: N802
        machine.contexts += 1
        return (1,)

    @function
    def cuMemAlloc(bytesize: int) -> tuple[Any, ...]:  # noqa: N802
        assert machine.stack(), "no context is current"
        return (machine.allocate(bytesize),)

    @function
    def cuMemFree(dptr: int) -> tuple[Any, ...]:  # noqa: N802
        assert machine.driver_stack, "no context is current"
        machine.free(dptr)
        return ()

    @function
    def cuPointerGetAttribute(attribute: CUpointer_attribute, ptr: int) -> tuple[Any, ...]:  # noqa: N802
        assert attribute is CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        return (machine.ordinals.get(ptr, 0),)

    @function
    def cuDevicePrimaryCtxRelease(dev: int) -> tuple[Any, ...]:  # noqa: N802
        _release(machine)
        return ()

    @function
    def cuEventCreate(Flags: int) -> tuple[Any, ...]:  # noqa: N802, N803
        return (next(numbers),)

    @function
    def cuEventRecord(hEvent: int, hStream: CUstream) -> tuple[Any, ...]:  # noqa: N802, N803
        mark = machine.events[hEvent] = _Event()

        def happen() -> None:
            mark.happened = True

        machine.streams[hStream].put(happen)
        return ()

    @function
    def cuStreamWaitEvent(hStream: CUstream, hEvent: int, Flags: int) -> tuple[Any, ...]:  # noqa: N802, N803
        machine.streams[hStream].put(machine.events[hEvent])
        return ()

    @function
    def cuEventDestroy(hEvent: int) -> tuple[Any, ...]:  # noqa: N802, N803
        return ()

    kinds = (CUresult, CUstream, CUstreamCaptureMode, CUpointer_attribute)
    return made | {kind.__name__: kind for kind in kinds}


class HostCuda:
    """What ``polygraphy.cuda.wrapper()`` returns, on host memory; a stray address is an error."""

    def __init__(self) -> None:
        self.blocks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.sizes: dict[int, int] = {}  # bytes asked for
        self.streams: set[int] = set()
        self.copied = 0  # bytes

    def create_stream(self) -> int:
        """A handle that is not the default stream's."""
        handle = 1 + max(self.streams, default=0)
        self.streams.add(handle)
        return handle

    def stream_synchronize(self, ptr: int) -> None:
        """Everything has happened already."""
        assert ptr in self.streams, f"{ptr} is no stream"

    def destroy_stream(self, ptr: int) -> None:
        """Forget it."""
        self.streams.remove(ptr)

    def malloc(self, nbytes: int) -> int:
        """Host memory."""
        block = ctypes.create_string_buffer(nbytes + 256)
        address = -(-ctypes.addressof(block) // 256) * 256  # aligned as TensorRT asks for
        self.blocks[address] = block
        self.sizes[address] = nbytes
        return address

    def free(self, ptr: int) -> None:
        """Give it back; as with cudaFree, nothing is nothing."""
        if ptr:
            del self.blocks[ptr], self.sizes[ptr]

    def memcpy(
        self, dst: int, src: int, nbytes: int, kind: Any, stream_ptr: int | None = None
    ) -> None:
        """Copy; the side that has to be on the device must lie in a block."""
        to_device, to_host = 1, 2
        for direction, address in ((to_device, dst), (to_host, src)):
            if kind.value == direction:
                assert self._holds(address, nbytes), f"{address:#x} is no device memory"
        ctypes.memmove(dst, src, nbytes)
        self.copied += nbytes

    def _holds(self, address: int, nbytes: int) -> bool:
        return any(
            start <= address and address + nbytes <= start + size
            for start, size in self.sizes.items()
        )
