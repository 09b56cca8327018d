"""The driver's own functions, through cuda.bindings, for what PyCUDA does not have."""

from __future__ import annotations

from typing import Any

from edaformer.errors import DeviceError, require


def driver() -> Any:
    """cuda.bindings.driver.

    Raises:
        MissingError: if it is not installed.
    """
    return require("cuda.bindings.driver", "cuda")


def call(function: str, *arguments: Any) -> Any:
    """Call a function of the driver and give what it makes.

    Raises:
        DeviceError: naming the function and the driver's code.
    """
    code, *made = getattr(driver(), function)(*arguments)
    if code != driver().CUresult.CUDA_SUCCESS:
        raise DeviceError(f"{function} failed with {code.name}; load the engine again")
    return made[0] if made else None


def device_of(address: int) -> int:
    """The number of the device on which an address lies."""
    ordinal = driver().CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    return int(call("cuPointerGetAttribute", ordinal, address))


def wait_for(other: int, stream: Any) -> None:
    """Let ``stream`` (PyCUDA's) wait for all that stream ``other`` (a handle) was given."""
    event = call("cuEventCreate", 0)
    try:
        call("cuEventRecord", event, driver().CUstream(other))
        call("cuStreamWaitEvent", driver().CUstream(stream.handle), event, 0)
    finally:
        call("cuEventDestroy", event)
