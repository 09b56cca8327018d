from __future__ import annotations

import pytest

from edaformer.engines.validate.gates import Gates, judge
from edaformer.engines.validate.validation import Agreement, Flips
from edaformer.export.exporter import ExportResult
from edaformer.manifest import Manifest

FLIPS = Flips(1000, None, None, 0.1, 2.0)


@pytest.fixture
def manifest(int8_export: ExportResult) -> Manifest:
    return int8_export.manifest


@pytest.mark.parametrize(
    ("gates", "change", "overall", "worst", "failed"),
    [
        (Gates(), -0.29, 0.994, 0.981, []),
        (Gates(), +0.90, 0.994, 0.981, []),  # a gain is no loss
        (Gates(), -0.31, 0.994, 0.981, ["max_miou_loss"]),
        (Gates(), -0.10, 0.9929, 0.981, ["min_agreement"]),
        (Gates(), -0.10, 0.994, 0.979, ["min_agreement_worst"]),
        (Gates(max_miou_drop=0.05), -0.10, 0.994, 0.981, ["max_miou_loss"]),
        (Gates(min_agreement=0.999), -0.10, 0.994, 0.981, ["min_agreement"]),
        (Gates(min_agreement=0.9), -0.10, 0.95, 0.91, []),  # the worst is held to no more
    ],
)
def test_eight_bits_are_judged_by_what_they_cost(
    manifest: Manifest, gates: Gates, change: float, overall: float, worst: float,
    failed: list[str],
) -> None:  # fmt: skip
    found = judge(gates, manifest, change, Agreement(overall, worst), FLIPS)
    assert [gate.name for gate in found] == [
        "max_miou_loss", "min_agreement", "min_agreement_worst",
    ]  # fmt: skip
    assert [gate.name for gate in found if gate.failure is not None] == failed


def test_the_others_keep_their_gates(small_export: ExportResult) -> None:
    flips = Flips(3, 0.1, 3, 0.01, 0.05)
    found = judge(Gates(), small_export.manifest, -0.2, Agreement(0.999, 0.99), flips)
    assert [(gate.name, gate.failure is None) for gate in found] == [
        ("max_miou_change", False), ("max_flips_beyond_ties", True),
    ]  # fmt: skip
