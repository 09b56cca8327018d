"""A tiny model in eight bits, for whoever builds or runs one."""

from __future__ import annotations

from edaformer.export.exporter import ExportOptions

SIZE = (64, 64)
# Random weights decide no pixel clearly, so their labels are not judged
INT8 = ExportOptions(
    size=SIZE, precision="int8", min_agreement=0.0,
    quantise=("attention", "projections", "mlp", "embed", "decoder"),
)  # fmt: skip
FP8 = ExportOptions(size=SIZE, precision="fp8", min_agreement=0.0)
