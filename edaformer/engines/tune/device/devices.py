"""What devices can do, as NVIDIA publishes it: dense FP16 tensor rate, bandwidth, memory.

Rates are dense. Where a document gives sparse or INT8 figures alone, ``derived`` says how the dense
FP16 one follows: structured sparsity doubles a rate, and each halving of the word doubles it again,
on every tensor core since Ampere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edaformer.engines.tune.device.roofline import Ceilings
from edaformer.errors import InputError


@dataclass(frozen=True)
class Device:
    """One row; 10^12 operations, 10^9 bytes a second, 10^9 bytes."""

    name: str
    label: str
    fp16_tflops: float  # dense; a multiply-add is two operations
    bandwidth: float  # GB/s
    memory: float  # GB; a Jetson shares it with the CPU
    source: str  # document
    derived: str = "as printed"
    known_as: tuple[str, ...] = ()  # what driver or board call it, in part

    @property
    def ceilings(self) -> Ceilings:
        """As the roofline takes them, at FP16."""
        return Ceilings(self.fp16_tflops * 1e12 / 2, self.bandwidth * 1e9, value_bytes=2)


_QUARTER = "sparse INT8 / 4"
_GEFORCE = "AI TOPS (sparse FP8, FP16 accumulation) / 4"
_HALF = "sparse FP16 / 2"
_OTHERS = {"ti", "super", "laptop", "pcie", "nvl"}  # parts of the same number that are no row's
DEVICES = {
    device.name: device
    for device in (
        Device("orin-nano", "Jetson Orin Nano 8GB, 15 W", 10.0, 68.0, 8,
               "Jetson Orin Nano Series Data Sheet DS-11105-001: 40 sparse INT8 TOPS, 625 MHz",
               _QUARTER, ("Orin Nano",)),
        Device("orin-nano-super", "Jetson Orin Nano Super 8GB, MAXN SUPER", 16.75, 102.0, 8,
               "Jetson Orin Nano Super Developer Kit Datasheet: 67 sparse INT8 TOPS, 1020 MHz",
               _QUARTER),
        Device("orin-nx", "Jetson Orin NX 16GB, 25 W", 15.0, 102.4, 16,
               "Jetson Orin NX Series Data Sheet DS-10712-001: 1024 cores at 918 MHz",
               "AGX Orin's rate, for half the cores at 918 MHz: its 100 TOPS count the DLAs",
               ("Orin NX",)),
        Device("agx-orin", "Jetson AGX Orin 64GB, MAXN", 42.5, 204.8, 64,
               "Jetson AGX Orin Series Technical Brief: GPU 170 sparse INT8 TOPS at 1.3 GHz",
               _QUARTER, ("AGX Orin",)),
        Device("thor", "Jetson T5000 (AGX Thor), 130 W", 258.75, 273.0, 128,
               "Jetson Thor Series Modules Data Sheet: 2070 sparse FP4 TFLOPS",
               "sparse FP4 / 8", ("Thor",)),
        Device("rtx-4060", "GeForce RTX 4060", 60.5, 272.0, 8,
               "GeForce RTX 4060 specifications: 242 AI TOPS", _GEFORCE, ("RTX 4060",)),
        Device("rtx-4090", "GeForce RTX 4090", 330.3, 1008.0, 24,
               "NVIDIA Ada GPU Architecture whitepaper, appendix A: FP16 with FP16 accumulation",
               known_as=("RTX 4090",)),
        Device("t4", "Tesla T4", 65.0, 320.0, 16, "NVIDIA T4 Tensor Core GPU datasheet",
               known_as=("Tesla T4",)),
        Device("l4", "L4", 121.0, 300.0, 24, "NVIDIA L4 Tensor Core GPU datasheet: 242 sparse",
               _HALF, ("NVIDIA L4",)),
        Device("a100", "A100 80GB SXM", 312.0, 2039.0, 80,
               "NVIDIA A100 Tensor Core GPU datasheet", known_as=("A100-SXM4-80GB",)),
        Device("h100", "H100 SXM", 989.4, 3350.0, 80,
               "NVIDIA H100 Tensor Core GPU datasheet: 1979 sparse", _HALF, ("H100",)),
        Device("h200", "H200 SXM", 989.4, 4800.0, 141,
               "NVIDIA H200 Tensor Core GPU datasheet: 1979 sparse", _HALF, ("H200",)),
    )
}  # fmt: skip


def get_device(name: str) -> Device:
    """A row by name.

    Raises:
        InputError: listing the known ones.
    """
    if name not in DEVICES:
        known = ", ".join(DEVICES)
        raise InputError(f"expected --device as this, cpu or one of {known}; got '{name}'")
    return DEVICES[name]


def recognise(description: str) -> Device | None:
    """The row of a GPU or board by what it calls itself; None where no row is."""
    words = _words(description)
    if words & _OTHERS:
        return None
    known = ((_words(name), device) for device in DEVICES.values() for name in device.known_as)
    matches = [(len(name), device) for name, device in known if name <= words]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def _words(text: str) -> set[str]:
    return set(re.findall("[a-z0-9]+", text.lower()))
