"""What a manifest says of an artifact beside its time: its engine's kernels, and its labels."""

from __future__ import annotations

from dataclasses import dataclass

from edaformer.engines.artifact.proof import summarise
from edaformer.engines.build.weigh import dequantise_kernels
from edaformer.manifest import Manifest


@dataclass(frozen=True)
class Recorded:
    """None is what was not recorded, or cannot be known."""

    quantised: tuple[str, ...]  # parts in eight bits
    kernels: int | None  # of the engine, by its builder's layer table
    attention_blocks: int | None
    fused_blocks: int | None
    dequantise_kernels: int | None
    traffic_bytes: int | None  # read and written by all kernels
    agreement: float | None  # with PyTorch's labels when it was exported
    miou: float | None  # points, PyTorch's labels being the truth; of eight bits


def recorded_of(manifest: Manifest) -> Recorded:
    """As export and build left it."""
    proof = None if manifest.engine is None else manifest.engine.proof
    figures, check = summarise(proof, manifest.architecture), manifest.verification
    kernels = figures["kernels"]["total"]
    is_known = proof is not None and kernels is not None
    return Recorded(
        quantised=() if manifest.quantised is None else manifest.quantised.parts,
        kernels=kernels,
        attention_blocks=figures["attention"]["total"] if is_known else None,
        fused_blocks=figures["attention"]["fused"],
        dequantise_kernels=_dequantise(manifest) if is_known else None,
        traffic_bytes=figures["memory"]["traffic_bytes"],
        agreement=None if check is None else check.label_agreement,
        miou=None if check is None else check.label_miou,
    )


def _dequantise(manifest: Manifest) -> int:
    assert manifest.engine is not None
    assert manifest.engine.proof is not None
    own = dequantise_kernels(manifest.engine.proof, manifest) if manifest.eight_bits else []
    return len(own)
