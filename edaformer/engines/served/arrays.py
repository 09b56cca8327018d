"""Arrays in and out of Triton's Python backend, whichever NumPy is there.

The stub of server 2.51 is built against NumPy 1, where an array's item size lies elsewhere. Under
NumPy 2 it reads 0 there: ``as_numpy`` copies the first element into all others, an array going out
has no bytes, and a tensor of strings (TYPE_STRING) ends the stub. DLPack has none of this and takes
numbers alone, so a picture's bytes come and go as uint8.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_of(tensor: Any) -> NDArray[Any]:
    """A request's tensor; not to be written to."""
    return np.from_dlpack(tensor)


def tensor_of(name: str, value: NDArray[Any]) -> Any:
    """An answer's tensor.

    The stub takes the array over and lets it go itself, but renames its capsule as no other does:
    NumPy's destructor would then complain in the server's log at every answer.
    """
    import triton_python_backend_utils as pb_utils

    capsule = np.ascontiguousarray(value).__dlpack__()
    forget = ctypes.pythonapi.PyCapsule_SetDestructor
    forget.argtypes = (ctypes.py_object, ctypes.c_void_p)
    forget(capsule, None)
    return pb_utils.Tensor.from_dlpack(name, capsule)
