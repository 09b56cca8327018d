"""Small models in eight bits, for whoever builds or runs one."""

from __future__ import annotations

from edaformer.export.options import ExportOptions
from edaformer.export.quantise.calibrate import Calibration
from edaformer.export.quantise.parts import PARTS
from edaformer.export.verify import natural_noise
from edaformer.isr import ISR

# Random weights decide no pixel clearly, so their labels are not judged
# At base 36 keys, which is enough for FP8 attention
FP8 = ExportOptions(size=(192, 192), precision="fp8", min_agreement=0.0)
INT8 = ExportOptions(  # but for the precision as the small export
    isr=ISR.parse("16,8,2,1-2,2,4"), size=(60, 90), outputs=("labels", "logits"),
    precision="int8", quantise=PARTS, min_agreement=0.0,
)  # fmt: skip


def calibration(options: ExportOptions) -> Calibration:
    """Eight pictures of noise."""
    images = natural_noise(8, options.size, seed=7)
    return Calibration(images, tuple(f"noise {at}" for at in range(8)), "noise")
