"""What must hold for an artifact against PyTorch float32, and what of it does.

FP16 and FP32 must give PyTorch's labels, all of them but rounding ties. Eight bits are off by
design: there the question is what they cost, in mIoU, in labels, and on the worst image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edaformer.engines.validate.validation import Agreement, Flips, GateResult
from edaformer.errors import InputError
from edaformer.evaluation.eight_bits import LEAST_AGREEMENT, LEAST_AGREEMENT_WORST
from edaformer.manifest import Manifest

WITHOUT_TIES = 0.999  # least share of equal labels, of an artifact that does not say what a tie is
MAX_CHANGE = 0.1  # points of mIoU, either way
EIGHT_BITS_LOSS = 0.3  # points of mIoU; a gain is no failure


@dataclass(frozen=True)
class Gates:
    """What must hold for the artifact, against PyTorch float32 at the same ISR.

    A picture of noise has no answer to agree on, so the share of equal labels asks for too much
    there and for too little elsewhere: by default every label has to be equal that rounding cannot
    decide.
    """

    max_miou_drop: float | None = None  # points of mIoU, either way; None: the precision's
    min_agreement: float | None = None  # fraction of pixels; None: the precision's rule
    trust_labels: bool = False  # whatever is found wrong with the truth

    def __post_init__(self) -> None:
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise InputError(
                f"expected --min-agreement as a fraction from 0 to 1, got {self.min_agreement:g}"
            )
        if self.max_miou_drop is not None and not math.isfinite(self.max_miou_drop):
            raise InputError(
                f"expected --max-miou-drop in points, a finite number, got {self.max_miou_drop:g}"
            )


def judge(
    gates: Gates, manifest: Manifest, change: float, agreement: Agreement, flips: Flips
) -> tuple[GateResult, ...]:
    """Each gate; ``change`` is the artifact's mIoU less PyTorch's, in points."""
    if manifest.eight_bits:
        return _eight_bits(gates, manifest.precision, change, agreement)
    limit = MAX_CHANGE if gates.max_miou_drop is None else gates.max_miou_drop
    too_far = (
        f"mIoU changes by {change:+.3f} points against PyTorch float32 at the same ISR, more than "
        f"{limit:g} either way"
    )
    first = GateResult("max_miou_change", change, limit, None if abs(change) <= limit else too_far)
    return first, _labels(gates.min_agreement, agreement.overall, flips)


def _labels(wanted: float | None, agreement: float, flips: Flips) -> GateResult:
    """No flip beyond a tie; the share of equal labels where asked, or where ties are unknown."""
    if wanted is None and flips.beyond is not None:
        damaged = (
            f"{flips.beyond} pixels flipped beyond a rounding tie, with top two logits up to "
            f"{flips.margin_max:.3g} apart where rounding explains {flips.tolerance:.3g}"
            if flips.beyond and flips.margin_max is not None
            else None
        )
        return GateResult("max_flips_beyond_ties", flips.beyond, 0, damaged)
    return _share(agreement, WITHOUT_TIES if wanted is None else wanted)


def _share(agreement: float, least: float) -> GateResult:
    too_few = f"labels agree on {agreement:.5f} of the pixels, less than {least:g}"
    return GateResult("min_agreement", agreement, least, None if agreement >= least else too_few)


def _eight_bits(
    gates: Gates, precision: str, change: float, agreement: Agreement
) -> tuple[GateResult, ...]:
    most = EIGHT_BITS_LOSS if gates.max_miou_drop is None else gates.max_miou_drop
    least = LEAST_AGREEMENT if gates.min_agreement is None else gates.min_agreement
    worst = min(LEAST_AGREEMENT_WORST, least)
    lost = (
        f"{precision} costs {-change:.3f} points of mIoU against PyTorch float32 at the same ISR, "
        f"more than {most:g}"
    )
    few = f"on the worst image labels agree on {agreement.worst:.5f}, less than {worst:g}"
    return (
        GateResult("max_miou_loss", -change, most, None if -change <= most else lost),
        _share(agreement.overall, least),
        GateResult(
            "min_agreement_worst", agreement.worst, worst, None if agreement.worst >= worst else few
        ),
    )
