"""What options of eight bits need of each other; said before PyTorch is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from edaformer.errors import InputError
from edaformer.export.quantise import uncalibrated
from edaformer.manifest import EIGHT_BITS


def check_eight_bits(precision: str, calibrate: str | None, others: Mapping[str, object]) -> None:
    """Refuse eight bits without a calibration, and their options without eight bits.

    Args:
        precision: as it was asked for.
        calibrate: what ``--calibrate`` names.
        others: by name, the options that are for eight bits alone; None where not given.
    """
    if precision in EIGHT_BITS:
        if calibrate is None:
            raise uncalibrated(precision)
        return
    for option, given in {**others, "--calibrate": calibrate}.items():
        if given is not None:
            raise InputError(f"{option} is for --precision int8 and fp8; leave it out")
