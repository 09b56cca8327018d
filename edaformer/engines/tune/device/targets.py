"""What ``--device`` names: whether it can be measured here, and what the model takes from where."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edaformer.engines.tune.device import afar
from edaformer.engines.tune.device.devices import Device, get_device, recognise
from edaformer.engines.tune.device.roofline import Ceilings
from edaformer.errors import MissingError
from edaformer.machine import backend
from edaformer.machine.gpu import query_gpu

_GEMM = 1024  # side of the matrices: 12 MB in all
_STREAM = 1 << 25  # float32 values, 128 MB: no cache holds them
_TRIES = 5
_HERE: Literal["cuda"] = "cuda"


@dataclass(frozen=True)
class Target:
    """A device to tune for."""

    name: str
    label: str
    ceilings: Ceilings | None  # None: nothing is published of it here
    memory_bytes: int | None
    source: str  # of the ceilings
    measured_on: Literal["cuda", "cpu"] | None  # None: it is modelled alone
    host: str | None = None  # where it is measured; None: this machine


def resolve(name: str) -> Target:
    """The target of ``this``, ``cpu``, ``ssh://HOST`` or a device of the table.

    Raises:
        InputError: for an unknown name, listing the known ones.
        MissingError: if this machine's GPU is meant and no TensorRT is here to build for it, or
            HOST lacks this package.
        RemoteError: if HOST cannot be reached.
    """
    if name.startswith(afar.PREFIX):
        return _afar(name)
    gpu = query_gpu()
    here = None if gpu is None else recognise(f"{gpu.name} {_board()}")
    if name == "cpu" or (name == "this" and gpu is None):
        return _cpu(name)
    if name == "this":
        assert gpu is not None
        _require_builder(gpu.name)
        return Target(
            name, gpu.name, here.ceilings if here else None, gpu.memory_bytes,
            here.source if here else "nothing published is known here", "cuda",
        )  # fmt: skip
    device = get_device(name, also="this, cpu, ssh://HOST or ")
    if device == here:
        _require_builder(device.label)
    return _published(device, here=device == here)


def _afar(name: str) -> Target:
    """A machine that ssh reaches; in another power mode it has another label: trials are new."""
    facts = afar.ask(name)
    known = recognise(facts.board or "")
    words = [facts.board or facts.host, facts.power_mode, f"at {name}"]
    return Target(
        name, ", ".join(word for word in words if word), known.ceilings if known else None,
        facts.memory, known.source if known else "nothing published is known here", _HERE, name,
    )  # fmt: skip


def _published(device: Device, *, here: bool) -> Target:
    memory, on = int(device.memory * 1e9), _HERE if here else None
    return Target(device.name, device.label, device.ceilings, memory, device.rates, on)


def _cpu(name: str) -> Target:
    ceilings = measure_cpu()
    source = (
        f"measured here: {ceilings.macs_per_second / 1e9:.1f} GMAC/s (float32 GEMM), "
        f"{ceilings.bytes_per_second / 1e9:.1f} GB/s (copy)"
    )
    return Target(name, f"{_cpu_name()}, ONNX Runtime", ceilings, None, source, "cpu")


def measure_cpu() -> Ceilings:
    """What this CPU does at best in float32: a matrix product of NumPy's, and a copy."""
    a = np.ones((_GEMM, _GEMM), np.float32)
    out = np.empty_like(a)
    gemm = _best(lambda: np.matmul(a, a, out=out))
    source, target = np.ones(_STREAM, np.float32), np.empty(_STREAM, np.float32)
    copy = _best(lambda: np.copyto(target, source))
    return Ceilings(_GEMM**3 / gemm, 2 * source.nbytes / copy, value_bytes=4)


def _best(work: Callable[[], object]) -> float:
    """Seconds of the quickest of some tries: what disturbs only lengthens."""
    seconds = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _require_builder(gpu: str) -> None:
    if not any(backend.is_installed(flavour) for flavour in backend.FLAVOURS):
        what, fix = backend.missing("tensorrt")
        raise MissingError(
            f"{gpu} is in this machine and is measured with TensorRT, but {what}; {fix}"
        )


def _board() -> str:
    """What a Jetson calls itself; its GPU's name does not tell Nano from NX."""
    try:
        return Path("/proc/device-tree/model").read_text("utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or "CPU"
