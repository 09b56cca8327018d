"""The table of docs/checkpoints.md: multiply-adds of smp's networks as they are counted now."""

from __future__ import annotations

import rewrites
import smp

from tests.conftest import ROOT


def test_what_isr_saves_is_counted() -> None:
    page = ROOT / "docs" / "checkpoints.md"
    assert rewrites.between(page)[1].startswith(smp.savings()), (
        "run: python benchmarks/smp.py --page docs/checkpoints.md"
    )
