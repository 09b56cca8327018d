"""The machine: what it is, what state it is in, and what energy it takes, as far as it says.

CPU      /proc and sysfs; energy from RAPL where it may be read
GPU      NVML (package nvidia-ml-py, extra ``cuda``), whose counter gives energy
Jetson   sysfs: devfreq clocks, thermal zones, INA3221 rails; nvpmodel's mode. NVML opens there too,
         and answers little: what it does not answer comes from sysfs

Whatever cannot be read is None.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from edaformer.machine.gpu import query_gpu
from edaformer.machine.jetson import read_jetson

_PACKAGES = ("numpy", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu12",
             "tensorrt-rtx-cu13", "pycuda", "cuda-bindings", "nvidia-ml-py")  # fmt: skip
_RAPL = "sys/class/powercap/intel-rapl:0"
_GPU_CLOCK = "sys/class/devfreq/*g[apv]*"  # 17000000.ga10b, 17000000.gv11b, 17000000.gpu
# nvml.h: nvmlClocksEventReasons; those that take speed away
_THROTTLES = {0x4: "power cap", 0x8: "hardware slowdown", 0x20: "thermal, software",
              0x40: "thermal, hardware", 0x80: "power brake"}  # fmt: skip


@dataclass(frozen=True)
class State:
    """The machine at one moment; clocks in MHz, temperatures in degrees Celsius, power in W."""

    load: float | None  # average number of runnable threads over the last minute
    cpu_mhz: float | None
    cpu_governor: str | None
    gpu_mhz: float | None
    gpu_mhz_limits: tuple[float, float] | None  # equal: locked
    memory_mhz: float | None
    temperature: float | None  # of the GPU, else of the hottest zone
    power: float | None
    power_mode: str | None  # nvpmodel's
    throttling: tuple[str, ...] | None


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of all cores since the machine started, and this process's share of the busy ones."""

    busy: float
    total: float
    own: float

    def others_since(self, before: CpuTimes) -> float:
        """The fraction of all cores that other processes took since ``before``."""
        total = self.total - before.total
        others = (self.busy - before.busy) - (self.own - before.own)
        return max(0.0, others / total) if total > 0 else 0.0


class Machine:
    """This machine, or the one whose file system is at ``root``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.nvml = _Nvml.open()

    def describe(self) -> dict[str, Any]:
        """Processor, memory, GPU, system and versions."""
        gpu, jetson = query_gpu(), read_jetson(self.root)
        return {
            "cpu": self._cpu_name(),
            "cores": cores(),
            "memory_bytes": _memory_bytes(),
            "gpu": vars(gpu) if gpu is not None else None,
            "driver": self.nvml.driver if self.nvml else None,
            "jetson": vars(jetson) if jetson is not None else None,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "python": platform.python_version(),
            "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        }

    def state(self) -> State:
        """Clocks, temperature, power and throttling now."""
        governor = self._text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        return State(
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # not on Windows
            cpu_mhz=self._number("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1e-3),
            cpu_governor=governor,
            gpu_mhz=self.gpu_mhz(),
            gpu_mhz_limits=self._gpu_limits(),
            memory_mhz=self.nvml.memory_mhz() if self.nvml else None,
            temperature=self._temperature(),
            power=self._power(),
            power_mode=_nvpmodel(),
            throttling=self.nvml.throttling() if self.nvml else None,
        )

    def gpu_mhz(self) -> float | None:
        """The GPU's clock now."""
        known = self.nvml.gpu_mhz() if self.nvml else None
        return known if known is not None else self._devfreq("cur_freq")

    def joules(self) -> float | None:
        """Energy taken since some fixed moment, where a counter says it."""
        if self.nvml:
            return self.nvml.joules()
        return self._number(f"{_RAPL}/energy_uj", 1e-6)

    @property
    def energy_source(self) -> str | None:
        """Whose energy ``joules`` is."""
        if self.nvml and self.nvml.joules() is not None:
            return "NVML, the whole board"
        return "RAPL, the CPU package" if self.joules() is not None else None

    def rail_power(self) -> float | None:
        """A Jetson's input rail (VDD_IN, VIN) in W; modules without one rail for all give None."""
        for label in sorted(self.root.glob("sys/bus/i2c/drivers/ina*/*/hwmon/hwmon*/in*_label")):
            if _read(label) in {"VDD_IN", "VIN"}:
                stem = label.name.removesuffix("_label")
                volts = _number(label.with_name(f"{stem}_input"), 1e-3)
                amperes = _number(label.with_name(f"{stem.replace('in', 'curr')}_input"), 1e-3)
                return volts * amperes if volts is not None and amperes is not None else None
        return None

    def cpu_times(self) -> CpuTimes:
        """From /proc/stat; the own share counts this process's threads."""
        ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 1  # no /proc there either
        fields = [int(text) / ticks for text in (self._text("proc/stat") or "cpu").split()[1:9]]
        idle = sum(fields[3:5])
        own = os.times()
        return CpuTimes(sum(fields) - idle, sum(fields), own.user + own.system)

    def device_memory(self) -> int | None:
        """Bytes of GPU memory in use, by whomever."""
        return self.nvml.memory_used() if self.nvml else None

    def _cpu_name(self) -> str:
        names = re.findall(
            r"^model name\s*:\s*(.+)$", self._text("proc/cpuinfo") or "", re.MULTILINE
        )
        board = (self._text("proc/device-tree/model") or "").strip("\0")
        return str(names[0]) if names else board or platform.processor()

    def _temperature(self) -> float | None:
        known = self.nvml.temperature() if self.nvml else None
        return known if known is not None else self._hottest()

    def _power(self) -> float | None:
        known = self.nvml.power() if self.nvml else None
        return known if known is not None else self.rail_power()

    def _gpu_limits(self) -> tuple[float, float] | None:
        low, high = self._devfreq("min_freq"), self._devfreq("max_freq")
        return (low, high) if low is not None and high is not None else None

    def _devfreq(self, name: str) -> float | None:
        found = sorted(self.root.glob(f"{_GPU_CLOCK}/{name}"))
        return _number(found[0], 1e-6) if found else None

    def _hottest(self) -> float | None:
        zones = self.root.glob("sys/class/thermal/thermal_zone*/temp")
        known = [value for zone in zones if (value := _number(zone, 1e-3)) is not None]
        return max(known, default=None)

    def _text(self, path: str) -> str | None:
        return _read(self.root / path)

    def _number(self, path: str, scale: float) -> float | None:
        return _number(self.root / path, scale)


class _Nvml:
    """The first GPU, through NVML; what a board does not support is None."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.device = nvml.nvmlDeviceGetHandleByIndex(0)
        self.driver = str(nvml.nvmlSystemGetDriverVersion())

    @classmethod
    def open(cls) -> _Nvml | None:
        """None without the package, the driver or a device."""
        try:
            nvml = import_module("pynvml")
        except ImportError:
            return None
        try:
            nvml.nvmlInit()
            return cls(nvml)
        except nvml.NVMLError:
            return None

    def gpu_mhz(self) -> float | None:
        lib = self.nvml
        return self._ask(lambda: lib.nvmlDeviceGetClockInfo(self.device, lib.NVML_CLOCK_SM))

    def memory_mhz(self) -> float | None:
        lib = self.nvml
        return self._ask(lambda: lib.nvmlDeviceGetClockInfo(self.device, lib.NVML_CLOCK_MEM))

    def temperature(self) -> float | None:
        lib = self.nvml
        return self._ask(
            lambda: lib.nvmlDeviceGetTemperature(self.device, lib.NVML_TEMPERATURE_GPU)
        )

    def power(self) -> float | None:
        return self._ask(lambda: self.nvml.nvmlDeviceGetPowerUsage(self.device), 1e-3)

    def joules(self) -> float | None:
        return self._ask(lambda: self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.device), 1e-3)

    def memory_used(self) -> int | None:
        used = self._ask(lambda: self.nvml.nvmlDeviceGetMemoryInfo(self.device).used)
        return None if used is None else int(used)

    def throttling(self) -> tuple[str, ...] | None:
        bits = self._ask(lambda: self.nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self.device))
        if bits is None:
            return None
        return tuple(name for bit, name in _THROTTLES.items() if int(bits) & bit)

    def _ask(self, question: Callable[[], float], scale: float = 1) -> float | None:
        try:
            return question() * scale
        except self.nvml.NVMLError:
            return None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """None on Windows."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _nvpmodel() -> str | None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        made = subprocess.run(
            ["nvpmodel", "-q"],  # noqa: S607 - a Jetson's own, wherever PATH has it
            capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False,
        )  # fmt: skip
        found = re.search(r"NV Power Mode:\s*(\S+)", made.stdout)
        return found[1] if found else None
    return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, scale: float) -> float | None:
    try:
        return float(_read(path) or "") * scale
    except ValueError:
        return None
