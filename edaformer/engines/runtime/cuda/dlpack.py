"""DLPack capsules, read and written through ctypes (dlpack.h, DLManagedTensor, the legacy form).

Every library that speaks DLPack understands this form, and none is needed to speak it.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edaformer.errors import InputError

CPU, CUDA = 1, 2  # DLDeviceType
_FRESH, _USED = b"dltensor", b"used_dltensor"  # names of a capsule
_CODES = {"i": 0, "u": 1, "f": 2}  # DLDataTypeCode by numpy's kind


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [
    ("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)
]  # fmt: skip
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_api = ctypes.PyDLL(None)
_new, _pointer = _api.PyCapsule_New, _api.PyCapsule_GetPointer
_is_valid, _rename = _api.PyCapsule_IsValid, _api.PyCapsule_SetName
_new.restype, _new.argtypes = (
    ctypes.py_object,
    [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
)
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_rename.restype, _rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
# In a destructor the capsule has no references left; as a bare pointer it cannot be given any.
_bare = ctypes.PyDLL(None)
_bare.PyCapsule_IsValid.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_bare.PyCapsule_GetPointer.restype = ctypes.c_void_p
_bare.PyCapsule_GetPointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

_held: dict[int, tuple[Any, ...]] = {}  # what an exported tensor needs, until its consumer is done


class Import:
    """A tensor out of a capsule, held until this object goes."""

    def __init__(self, capsule: object) -> None:
        if not _is_valid(capsule, _FRESH):
            raise InputError("expected a fresh DLPack capsule, got one that was used; make another")
        self._managed = ctypes.cast(_pointer(capsule, _FRESH), ctypes.POINTER(_Managed))
        _rename(capsule, _USED)
        tensor = self._managed.contents.tensor
        self.address = int(tensor.data or 0) + int(tensor.byte_offset)
        self.shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
        kinds = {code: kind for kind, code in _CODES.items()}
        self.typestr = f"{kinds.get(tensor.code, '?')}{tensor.bits // 8}"
        self.strides = None  # in bytes
        if tensor.strides:
            size = tensor.bits // 8
            self.strides = tuple(tensor.strides[axis] * size for axis in range(tensor.ndim))

    def __del__(self) -> None:
        managed = getattr(self, "_managed", None)
        if managed is not None and managed.contents.deleter:
            managed.contents.deleter(managed)


def export(
    owner: object,
    address: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: tuple[int, int],
) -> object:
    """A capsule for a contiguous array at ``address``, which ``owner`` keeps alive."""
    managed = _Managed()
    sides = (ctypes.c_int64 * len(shape))(*shape)
    managed.tensor = _Tensor(
        address, *device, len(shape), _CODES[dtype.kind], 8 * dtype.itemsize, 1, sides, None, 0
    )
    managed.deleter = _forget
    _held[ctypes.addressof(managed)] = (owner, managed, sides)
    return _new(ctypes.addressof(managed), _FRESH, ctypes.cast(_drop, ctypes.c_void_p))


def _let_go(managed: Any) -> None:
    _held.pop(ctypes.addressof(managed.contents), None)


def _let_go_unused(capsule: int) -> None:
    """Of a capsule that nobody consumed; a consumed one has another name."""
    if _bare.PyCapsule_IsValid(capsule, _FRESH):
        _held.pop(_bare.PyCapsule_GetPointer(capsule, _FRESH), None)


_forget, _drop = _Deleter(_let_go), _Destructor(_let_go_unused)
