"""Which NVIDIA GPU is here, asked of the driver itself (CUDA Driver API, through ctypes)."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18  # cuda.h: CUdevice_attribute


FP8_FROM = "8.9"  # compute capability; TensorRT's support matrix: Ada, Hopper and later


@dataclass(frozen=True)
class Gpu:
    """The first device that the driver shows."""

    name: str
    compute_capability: str  # such as 8.7
    integrated: bool  # shares its memory with the CPU, as a Jetson's does
    memory_bytes: int
    cuda_version: tuple[int, int]  # the newest CUDA that the driver serves


def gpu_visible() -> bool:
    """Whether the CUDA driver is here and sees a device."""
    return _first_device() is not None


def query_gpu() -> Gpu | None:
    """The first device, or None without a driver or a device; no context is made."""
    found = _first_device()
    if found is None:
        return None
    driver, device = found
    memory, version = ctypes.c_size_t(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor, integrated = (
        _attribute(driver, device, attribute) for attribute in (_MAJOR, _MINOR, _INTEGRATED)
    )
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major}.{minor}",
        integrated=bool(integrated),
        memory_bytes=memory.value,
        cuda_version=(version.value // 1000, version.value % 1000 // 10),
    )


def driver_version() -> str:
    """The driver's own version where its kernel module says so, else the CUDA that it serves."""
    with suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text("utf-8", errors="replace")
        found = re.search(r"NVRM version: .*?\b(\d+\.\d+(?:\.\d+)?)\b", text)
        if found is not None:
            return found[1]
    gpu = query_gpu()
    return "none" if gpu is None else "CUDA " + ".".join(map(str, gpu.cuda_version))


def _first_device() -> tuple[Any, ctypes.c_int] | None:
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    seen = (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
        and driver.cuDeviceGet(ctypes.byref(device), 0) == 0
    )
    return (driver, device) if seen else None


def _attribute(driver: Any, device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    return value.value


def runs_fp8(compute_capability: str) -> bool:
    """Whether a GPU of this compute capability has FP8."""
    own, least = (tuple(map(int, text.split("."))) for text in (compute_capability, FP8_FROM))
    return own >= least
