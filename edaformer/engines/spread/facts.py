"""What decides a worker's figures beside the job, so that a worker of another kind is refused."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edaformer.machine.gpu import query_gpu
from edaformer.packages import version_of
from edaformer.version import __version__

_PACKAGES = ("numpy", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt",
             "tensorrt-rtx-cu12", "tensorrt-rtx-cu13")  # fmt: skip
_CPU = Path("/proc/cpuinfo")
_WIDEST = ("avx512_bf16", "avx512f", "avx2", "sve", "asimd")


@dataclass(frozen=True)
class Facts:
    """Of one worker."""

    host: str
    pid: int
    software: Mapping[str, str]  # as the driver has it, or the worker is refused
    hardware: Mapping[str, str]  # as the first worker has it, or the worker is refused

    @classmethod
    def here(cls) -> Facts:
        """Of this process."""
        found = {name: version_of(name) for name in _PACKAGES}
        software = {name: "none" if said is None else said for name, said in found.items()}
        return cls(
            socket.gethostname(), os.getpid(), {"edaformer-deploy": __version__, **software},
            {"GPU": _gpu(), "CPU": _vectors()},
        )  # fmt: skip

    @property
    def name(self) -> str:
        """``host:pid``."""
        return f"{self.host}:{self.pid}"


def difference(own: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """What differs, in words; None where nothing does."""
    differing = [
        f"{name} {theirs.get(name, 'none')} where {said} is expected"
        for name, said in own.items()
        if theirs.get(name) != said
    ]
    return ", ".join(differing) or None


def _gpu() -> str:
    gpu = query_gpu()
    return "none" if gpu is None else gpu.name


def _vectors() -> str:
    """The widest instructions that libraries choose their kernels by: sums differ between them."""
    try:
        flags = set(_CPU.read_text("utf-8", errors="replace").split())
    except OSError:
        flags = set()
    widest = next((name for name in _WIDEST if name in flags), "no vectors known")
    return f"{platform.machine()}, {widest}"
