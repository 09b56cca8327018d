"""Which shapes and networks are measured, those first that would be missed most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from on_gpu.run import Run

Size = tuple[int, int]
Network = tuple[str, int, Size, str]  # variant, classes, size, ISR
Shape = tuple[Size, Size, int]  # source, network, classes

NETWORKS: tuple[Network, ...] = (
    ("T", 150, (512, 512), "base"),
    ("T", 150, (512, 512), "paper"),
    ("T", 19, (1024, 2048), "base"),
    ("T", 19, (1024, 2048), "paper"),
    ("B", 150, (512, 512), "base"),
    ("B", 150, (512, 512), "paper"),
    ("B", 19, (1024, 2048), "base"),
    ("B", 19, (1024, 2048), "paper"),
)
# Attention in eight bits, beside FP16: by TensorRT-RTX's layer table all that may pay, and in INT8
# fused over up to 512 keys alone (docs/quantisation.md)
EIGHT_BITS: tuple[Literal["fp8", "int8"], ...] = ("fp8", "int8")
IN_EIGHT_BITS = (NETWORKS[0], NETWORKS[3], NETWORKS[4])
DRY_NETWORKS: tuple[Network, ...] = (("T", 5, (64, 96), "base"),)
SHAPES: tuple[Shape, ...] = (
    ((512, 512), (512, 512), 150),
    ((2160, 3840), (2160, 3840), 150),  # more than any L2 holds: here bandwidth means something
    ((1024, 2048), (1024, 2048), 19),
    ((1080, 1920), (512, 1024), 19),
)
DRY_SHAPES: tuple[Shape, ...] = (((48, 64), (48, 64), 5), ((33, 47), (64, 96), 5))
TRAINED = "trained"  # the stem of the plan made from --checkpoint
TRAINED_SIZE, TRAINED_ISR = (360, 480), "16,8,4,1"


def networks(run: Run) -> dict[str, Network]:
    """By their names."""
    return {network_name(*case): case for case in (DRY_NETWORKS if run.dry else NETWORKS)}


def shapes(run: Run) -> tuple[Shape, ...]:
    """Those of the kernels."""
    return DRY_SHAPES if run.dry else SHAPES


def network_name(variant: str, classes: int, size: Size, isr: str) -> str:
    """``T_150_512x512_base``."""
    return f"{variant}_{classes}_{size[0]}x{size[1]}_{isr}"


def logits_name(size: Size) -> str:
    """The file of a trained network's logits."""
    return f"{TRAINED}_logits_{size[0]}x{size[1]}.npy"
