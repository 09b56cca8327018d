"""DLPack both ways, with NumPy and PyTorch at the other end."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edaformer.engines.runtime.cuda import dlpack
from edaformer.engines.runtime.cuda.arrays import borrow, is_on_device
from edaformer.errors import InputError


class OnHost:
    """An array that shows itself as ours on the device do, on the one device that is here."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU, 0

    def __dlpack__(self, **_: Any) -> object:
        array = self.array
        return dlpack.export(
            self, array.ctypes.data, array.shape, array.dtype, self.__dlpack_device__()
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5)])
def test_others_read_ours(dtype: type, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    for made in (np.from_dlpack(OnHost(array)), torch.from_dlpack(OnHost(array)).numpy()):
        np.testing.assert_array_equal(made, array)
        assert made.ctypes.data == array.ctypes.data


def test_ours_is_held_until_they_are_done() -> None:
    held = len(dlpack._held)
    tensor = torch.from_dlpack(OnHost(np.ones((2, 2), np.uint8)))
    assert len(dlpack._held) == held + 1
    assert tensor.sum() == 4
    del tensor
    gc.collect()
    assert len(dlpack._held) == held


def test_a_capsule_that_nobody_takes() -> None:
    held = len(dlpack._held)
    capsule = OnHost(np.ones((2, 2), np.uint8)).__dlpack__()
    assert len(dlpack._held) == held + 1
    del capsule
    gc.collect()
    assert len(dlpack._held) == held


class TestBorrow:
    def test_reads_theirs(self) -> None:
        tensor = torch.arange(24, dtype=torch.uint8).reshape(2, 4, 3)[1:]
        seen = borrow(_Asked(tensor), stream=5)
        assert (seen.address, seen.shape) == (tensor.data_ptr(), (1, 4, 3))
        assert seen.stream is None

    def test_a_side_of_one_may_have_any_stride(self) -> None:
        tensor = torch.arange(24, dtype=torch.uint8).reshape(2, 4, 3)[::2][:1]
        assert borrow(_Asked(tensor.as_strided((1, 4, 3), (24, 3, 1))), stream=5).shape == (1, 4, 3)

    def test_asks_for_the_stream(self) -> None:
        asked = _Asked(torch.zeros(2, 2, 3, dtype=torch.uint8))
        borrow(asked, stream=77)
        assert asked.stream == 77

    @pytest.mark.parametrize(
        ("tensor", "reason"),
        [
            (torch.zeros(2, 2, 3), "type f4"),
            (torch.zeros(2, 3, 2, dtype=torch.uint8).mT, "contiguous"),
            (torch.zeros(2, 2, 3, dtype=torch.int8), "type i1"),
        ],
    )
    def test_refuses(self, tensor: torch.Tensor, reason: str) -> None:
        with pytest.raises(InputError, match=reason):
            borrow(_Asked(tensor), stream=1)

    def test_a_capsule_is_taken_once(self) -> None:
        capsule = torch.zeros(2, dtype=torch.uint8).__dlpack__()
        dlpack.Import(capsule)
        with pytest.raises(InputError, match="fresh"):
            dlpack.Import(capsule)


class _Asked:
    """A tensor that notes for which stream it was asked."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.stream = 0

    def __dlpack__(self, *, stream: int) -> object:
        self.stream = stream
        return self.tensor.__dlpack__()


def test_what_is_on_the_device() -> None:
    class Shown:
        __cuda_array_interface__ = None

    assert is_on_device(Shown())
    assert not is_on_device(torch.zeros(2))
    assert not is_on_device("text")
