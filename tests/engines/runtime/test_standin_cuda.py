"""The stand-ins for PyCUDA and cuda.bindings have nothing that the real ones lack."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.standins.cuda import Machine, install

# dir() of PyCUDA 2026.1's classes and module, as far as the runtime goes; it needs the CUDA toolkit
# to be built, so it is not installed where the tests run.
PYCUDA = {
    "": {"Context", "Device", "DeviceAllocation", "Error", "Event", "Function", "LogicError",
         "MemoryError", "Module", "PagelockedHostAllocation", "Stream", "device_attribute",
         "host_alloc_flags", "init", "mem_alloc", "memcpy_dtoh_async", "memcpy_htod_async",
         "module_from_buffer", "pagelocked_empty"},
    "Context": {"detach", "handle", "pop", "push", "synchronize"},
    "Device": {"compute_capability", "get_attribute", "name", "retain_primary_context"},
    "DeviceAllocation": {"as_buffer", "free"},
    "Event": {"query", "record", "synchronize", "time_since", "time_till"},
    "Function": {"prepare", "prepared_async_call"},
    "Module": {"get_function", "get_global"},
    "PagelockedHostAllocation": {"free", "get_device_pointer", "get_flags"},
    "Stream": {"handle", "is_done", "synchronize", "wait_for_event"},
    "device_attribute": {"INTEGRATED"},
    "host_alloc_flags": {"DEVICEMAP", "PORTABLE", "WRITECOMBINED"},
}  # fmt: skip


@pytest.fixture
def modules() -> dict[str, Any]:
    return dict(install(Machine()))


def public(thing: Any) -> set[str]:
    return {name for name in vars(thing) if not name.startswith("_")}


def test_pycuda(modules: dict[str, Any]) -> None:
    driver = modules["pycuda.driver"]
    assert public(driver) <= PYCUDA[""]
    for name in public(driver):
        if inspect.isclass(getattr(driver, name)) and not issubclass(
            getattr(driver, name), Exception
        ):
            assert public(getattr(driver, name)) <= PYCUDA[name], name


def test_cuda_bindings(modules: dict[str, Any]) -> None:
    real: Any = pytest.importorskip("cuda.bindings.driver")
    standin = modules["cuda.bindings.driver"]
    for name in public(standin):
        ours, theirs = getattr(standin, name), getattr(real, name)
        if inspect.isclass(ours):
            known = theirs.__members__ if hasattr(theirs, "__members__") else {}
            assert set(getattr(ours, "__members__", {})) <= set(known), name
        else:
            own = list(inspect.signature(ours).parameters)
            assert own == list(inspect.signature(theirs).parameters), name
