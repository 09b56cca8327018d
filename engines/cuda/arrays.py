"""Arrays on the device, exchanged with PyTorch, CuPy and others without a copy.

In: whatever has ``__cuda_array_interface__`` (Numba's protocol, version 3) or ``__dlpack__``.
Out: a DeviceArray, which has both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edaformer.engines.cuda import dlpack
from edaformer.errors import InputError


@dataclass(frozen=True)
class Borrowed:
    """A contiguous uint8 array of somebody else's, valid while ``owner`` is held."""

    address: int
    shape: tuple[int, ...]
    owner: object
    stream: int | None  # its producer's stream; None: the data is there already


class DeviceArray:
    """An array that an engine made on the device; its memory is freed with it.

    The values are there when the caller gets it. It must not outlive its engine.
    """

    def __init__(self, gpu: Any, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._memory = gpu.allocate(int(np.prod(shape)) * self.dtype.itemsize)

    @property
    def address(self) -> int:
        """Of the first element."""
        return int(self._memory)

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

    Raises:
        InputError: if it is no contiguous uint8 array.
    """
    if hasattr(image, "__cuda_array_interface__"):
        shown = image.__cuda_array_interface__
        shape = tuple(int(side) for side in shown["shape"])
        _check(shown["typestr"].lstrip("|<=>"), shape, shown.get("strides"), itemsize=1)
        return Borrowed(int(shown["data"][0]), shape, image, shown.get("stream"))
    tensor = dlpack.Import(image.__dlpack__(stream=stream))
    _check(tensor.typestr, tensor.shape, tensor.strides, itemsize=1)
    return Borrowed(tensor.address, tensor.shape, tensor, None)


def _check(
    typestr: str, shape: tuple[int, ...], strides: tuple[int, ...] | None, *, itemsize: int
) -> None:
    if typestr != "u1":
        raise InputError(f"expected a uint8 image, got an array of type {typestr}; convert it")
    expected, step = [], itemsize
    for side in reversed(shape):
        expected.append(step)
        step *= side
    if strides is not None and tuple(strides) != tuple(reversed(expected)):
        raise InputError(
            f"expected a contiguous image, got strides {tuple(strides)}; make a contiguous copy"
        )
