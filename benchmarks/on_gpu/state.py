"""Clocks, power, temperature, throttling: by NVML, else by nvidia-smi, which the driver brings."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import asdict
from typing import Any

# nvml.h: nvmlClocksEventReasons; those that take speed away
_THROTTLES = {0x4: "power cap", 0x8: "hardware slowdown", 0x20: "thermal, software",
              0x40: "thermal, hardware", 0x80: "power brake"}  # fmt: skip
_REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # since R535, before
_FIELDS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")


def state() -> dict[str, Any]:
    """Now; what cannot be read is None, and ``source`` says who was asked."""
    from edaformer.engines.bench.state import Machine

    here = Machine()
    told = {**asdict(here.state()), "source": "NVML" if here.nvml else None}
    return told if here.nvml else {**told, **_nvidia_smi()}


def _nvidia_smi() -> dict[str, Any]:
    for reasons in _REASONS if shutil.which("nvidia-smi") else ():
        try:
            made = subprocess.run(
                ["nvidia-smi", "-i", "0", f"--query-gpu={','.join((*_FIELDS, reasons))}",
                 "--format=csv,noheader,nounits"],
                capture_output=True, text=True, timeout=10, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return {}
        fields = made.stdout.strip().split(", ")
        if made.returncode == 0 and len(fields) == len(_FIELDS) + 1:
            return parse(fields)
    return {}


def parse(fields: list[str]) -> dict[str, Any]:
    """One line of nvidia-smi; it says ``[N/A]`` for what it does not know."""
    mhz, memory, power, temperature, reasons = (_number(text) for text in fields)
    throttling = (
        None if reasons is None
        else [name for bit, name in _THROTTLES.items() if int(reasons) & bit]
    )  # fmt: skip
    return {"gpu_mhz": mhz, "memory_mhz": memory, "power": power, "temperature": temperature,
            "throttling": throttling, "source": "nvidia-smi"}  # fmt: skip


def _number(text: str) -> float | None:
    try:
        return float(int(text, 16)) if text.startswith("0x") else float(text)
    except ValueError:
        return None
