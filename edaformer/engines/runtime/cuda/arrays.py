"""Arrays on the device, exchanged with PyTorch, CuPy and others without a copy.

In: whatever has ``__cuda_array_interface__`` (Numba's protocol, version 3) or ``__dlpack__``.
Out: a DeviceArray, which has both.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from edaformer.engines.runtime.cuda import dlpack
from edaformer.engines.runtime.cuda.calls import call, device_of
from edaformer.errors import DeviceError, InputError

_NAMES_STREAMS = 3  # the array interface's version from which on it names its stream
_DEFAULT_STREAM = 1  # the legacy one, by its handle


@dataclass(frozen=True)
class Borrowed:
    """A contiguous uint8 array of somebody else's, valid while ``owner`` is held."""

    address: int
    shape: tuple[int, ...]
    owner: object
    stream: int | None  # its producer's stream; None: the data is there already


class DeviceArray:
    """An array that an engine made on the device; its memory is freed with it, in any thread.

    The values are there when the caller gets it. It holds the GPU's primary context, and so may
    outlive its engine.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.address = _allocate(self, int(np.prod(shape)) * self.dtype.itemsize)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
            "stream": None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, 0

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> object:
        """A capsule; whatever stream its consumer works on, the values are there."""
        return dlpack.export(self, self.address, self.shape, self.dtype, self.__dlpack_device__())


def is_on_device(image: object) -> bool:
    """Whether ``image`` lies on the GPU."""
    if hasattr(image, "__cuda_array_interface__"):
        return True
    device = getattr(image, "__dlpack_device__", None)
    return device is not None and int(device()[0]) == dlpack.CUDA


def borrow(image: Any, stream: int) -> Borrowed:
    """What ``image`` shows of itself; ``stream`` is the handle of the one that will read it.

    DLPack comes first, for with it the producer makes ``stream`` wait. PyTorch's array interface is
    of version 2 and names no stream.

    Raises:
        InputError: if it is no contiguous uint8 array on the first visible GPU.
    """
    if hasattr(image, "__dlpack__"):
        if hasattr(image, "__dlpack_device__"):
            _check_device(int(image.__dlpack_device__()[1]))
        tensor = dlpack.Import(image.__dlpack__(stream=stream))
        _check(tensor.typestr, tensor.shape, tensor.strides)
        return Borrowed(tensor.address, tensor.shape, tensor, None)
    shown = image.__cuda_array_interface__
    shape, address = tuple(int(side) for side in shown["shape"]), int(shown["data"][0])
    _check(shown["typestr"].lstrip("|<=>"), shape, shown.get("strides"))
    _check_device(device_of(address))
    ready = shown.get("stream") if shown["version"] >= _NAMES_STREAMS else _DEFAULT_STREAM
    return Borrowed(address, shape, image, ready)


def _check(typestr: str, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> None:
    if typestr != "u1":
        raise InputError(f"expected a uint8 image, got an array of type {typestr}; convert it")
    expected, step = [], 1
    for side in reversed(shape):
        expected.append(step)
        step *= side
    for side, stride, wanted in zip(shape, strides or (), reversed(expected), strict=False):
        if side != 1 and stride != wanted:  # a single step is never taken
            raise InputError(
                f"expected a contiguous image, got strides {strides}; make a contiguous copy"
            )


def _check_device(number: int) -> None:
    if number != 0:
        raise InputError(
            f"expected an image on the first visible GPU, got one on number {number}; choose the "
            "GPU with CUDA_VISIBLE_DEVICES, or copy the image"
        )


def _allocate(owner: object, size: int) -> int:
    """Device memory that goes with ``owner``, whichever thread drops it.

    PyCUDA frees memory only where its context is current or was retained; the driver is asked
    directly. The memory holds the primary context, so that freeing it is right at any time.
    """
    context = call("cuDevicePrimaryCtxRetain", 0)
    try:
        address = int(call("cuMemAlloc", max(size, 1)))
    except BaseException:
        call("cuDevicePrimaryCtxRelease", 0)
        raise
    weakref.finalize(owner, _free, context, address).atexit = False  # the driver cleans up then
    return address


def _free(context: Any, address: int) -> None:
    with suppress(DeviceError):  # a broken context has nothing to free
        call("cuCtxPushCurrent", context)
        try:
            call("cuMemFree", address)
        finally:
            call("cuCtxPopCurrent")
    with suppress(DeviceError):
        call("cuDevicePrimaryCtxRelease", 0)
