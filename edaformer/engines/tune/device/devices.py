"""What devices can do, as NVIDIA publishes it: dense FP16 tensor rate, bandwidth, memory.

Rates are dense. Where a document gives sparse or INT8 figures alone, ``derived`` says how the dense
FP16 one follows: structured sparsity doubles a rate, and each halving of the word doubles it again,
on every tensor core since Ampere. The "AI TOPS" of GeForce are sparse, of the shortest word that
the generation has: FP8 on Ada, FP4 on Blackwell (whitepapers, tables of peak rates). Addresses are
NVIDIA's own; the figures of RTX cards were read in others' copies of these pages (November 2026).
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
    def runs_fp8(self) -> bool:
        """Whether its tensor cores know FP8: from Ada and Hopper on."""
        return self.name not in _BEFORE_ADA

    @property
    def ceilings(self) -> Ceilings:
        """As the roofline takes them, at FP16."""
        return Ceilings(self.fp16_tflops * 1e12 / 2, self.bandwidth * 1e9, value_bytes=2)

    @property
    def rates(self) -> str:
        """The document, and what is taken from it."""
        taken = f"dense FP16 {self.fp16_tflops:g} TFLOPS ({self.derived})"
        return f"{self.source}; {taken}, {self.bandwidth:g} GB/s"


_BEFORE_ADA = {
    "orin-nano", "orin-nano-super", "orin-nx", "agx-orin", "rtx-3060", "rtx-3080", "rtx-3090",
    "rtx-a2000", "t4", "a100",
}  # fmt: skip
_QUARTER = "sparse INT8 / 4"
_ADA = "AI TOPS (sparse FP8, FP16 accumulation) / 4"
_BLACKWELL = "AI TOPS (sparse FP4, FP16 accumulation) / 8"
_HALF = "sparse FP16 / 2"
# parts of the same number that are no row's; the D is what is sold in China
_OTHERS = {"ti", "super", "laptop", "pcie", "nvl", "d", "max", "embedded"}
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
        # https://www.nvidia.com/en-us/geforce/graphics-cards/30-series/rtx-3060-3060ti/
        Device("rtx-3060", "GeForce RTX 3060 12GB", 50.5, 360.0, 12,
               "GeForce RTX 3060 specifications: 101 Tensor TFLOPS, sparse FP16", _HALF,
               ("RTX 3060",)),
        # https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.1.pdf
        Device("rtx-3080", "GeForce RTX 3080 10GB", 119.0, 760.0, 10,
               "NVIDIA Ampere GA102 GPU Architecture whitepaper: FP16 with FP16 accumulation",
               known_as=("RTX 3080",)),
        Device("rtx-3090", "GeForce RTX 3090", 142.0, 936.0, 24,
               "NVIDIA Ampere GA102 GPU Architecture whitepaper, appendix A: FP16 with FP16 "
               "accumulation", known_as=("RTX 3090",)),
        # https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4060-4060ti/
        Device("rtx-4060", "GeForce RTX 4060", 60.5, 272.0, 8,
               "GeForce RTX 4060 specifications: 242 AI TOPS", _ADA, ("RTX 4060",)),
        # https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4070-family/
        Device("rtx-4070", "GeForce RTX 4070", 116.5, 504.0, 12,
               "GeForce RTX 4070 specifications: 466 AI TOPS", _ADA, ("RTX 4070",)),
        # https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4080-family/
        Device("rtx-4080", "GeForce RTX 4080", 195.0, 716.8, 16,
               "GeForce RTX 4080 specifications: 780 AI TOPS", _ADA, ("RTX 4080",)),
        Device("rtx-4090", "GeForce RTX 4090", 330.3, 1008.0, 24,
               "NVIDIA Ada GPU Architecture whitepaper, appendix A: FP16 with FP16 accumulation",
               known_as=("RTX 4090",)),
        # https://www.nvidia.com/en-us/geforce/graphics-cards/50-series/rtx-5060-family/
        Device("rtx-5060", "GeForce RTX 5060", 76.75, 448.0, 8,
               "GeForce RTX 5060 specifications: 614 AI TOPS", _BLACKWELL, ("RTX 5060",)),
        # https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/nvidia-rtx-blackwell-gpu-architecture.pdf
        Device("rtx-5070", "GeForce RTX 5070", 123.5, 672.0, 12,
               "NVIDIA RTX Blackwell GPU Architecture whitepaper: 988 AI TOPS", _BLACKWELL,
               ("RTX 5070",)),
        Device("rtx-5080", "GeForce RTX 5080", 225.1, 960.0, 16,
               "NVIDIA RTX Blackwell GPU Architecture whitepaper: 1801 AI TOPS", _BLACKWELL,
               ("RTX 5080",)),
        Device("rtx-5090", "GeForce RTX 5090", 419.0, 1792.0, 32,
               "NVIDIA RTX Blackwell GPU Architecture whitepaper: 3352 AI TOPS", _BLACKWELL,
               ("RTX 5090",)),
        # https://www.nvidia.com/content/dam/en-zz/Solutions/design-visualization/rtx-a2000/nvidia-rtx-a2000-datasheet.pdf
        Device("rtx-a2000", "RTX A2000, 70 W", 31.95, 288.0, 6,
               "NVIDIA RTX A2000 datasheet: 63.9 Tensor TFLOPS, sparse FP16", _HALF,
               ("RTX A2000",)),
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


def get_device(name: str, *, also: str = "") -> Device:
    """A row by name.

    Args:
        name: of the row.
        also: what the caller takes beside rows, for the message.

    Raises:
        InputError: listing the known ones.
    """
    if name not in DEVICES:
        known = ", ".join(DEVICES)
        raise InputError(f"expected --device as {also}one of {known}; got '{name}'")
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
