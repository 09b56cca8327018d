"""A process that believes it has a GPU: the emulated driver, beneath a release's bindings.

For commands run as processes of their own. Python imports this first (``sitecustomize`` of the
release's folder) where EDAFORMER_CLASSIC_DRIVER is "emulated".
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable

from edaformer.machine import gpu
from tests.standins.cuda import HostCuda, Machine, install

DEVICE = gpu.Gpu("emulated", "8.7", integrated=False, memory_bytes=8 << 30, cuda_version=(13, 0))


def emulate() -> None:
    """PyCUDA, cuda.bindings, Polygraphy's CUDA and what asks for the GPU."""
    machine = Machine()
    sys.modules.update(install(machine))
    vars(gpu).update(gpu_visible=lambda: True, query_gpu=lambda: DEVICE)
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "0"
    vars(importlib.import_module("polygraphy.cuda.cuda"))["G_CUDA"] = HostCuda()

    def enqueue(handle: int, work: Callable[[], bool]) -> bool:
        if handle not in machine.streams:  # Polygraphy's, on which everything happens at once
            return work()
        machine.streams[handle].put(work)
        return True

    vars(importlib.import_module("tensorrt_libs"))["enqueue"] = enqueue
