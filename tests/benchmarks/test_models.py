"""The tables of docs/models.md: multiply-adds as they are, engines with one row built again."""

from __future__ import annotations

import models
import pytest
import rewrites

from edaformer.families.feedformer.sizes import FEEDFORMERS
from edaformer.families.table import count
from edaformer.machine import backend
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "models.md"
AGAIN = ("feedformer-b0", 150, "16,8,4,2-16,8,4")


def test_what_isr_saves_is_counted() -> None:
    assert rewrites.between(PAGE)[1].startswith(models.savings()), (
        "run: python benchmarks/models.py --page docs/models.md"
    )


def test_what_the_page_says_in_words() -> None:
    parts = count(FEEDFORMERS["feedformer-b0"], 150, (512, 512)).parts
    assert max(parts, key=lambda part: part.macs).name == "decoder c2"


@pytest.mark.slow
def test_an_engine_is_as_recorded() -> None:
    """Every attention fused, no padding kernel, and the page's other figures."""
    table = rewrites.between(PAGE)[1]
    if not backend.is_installed("tensorrt-rtx"):
        pytest.skip("needs TensorRT-RTX")
    made = models.engine(*AGAIN, rewritten=True)
    assert (made["unfused"], made["padding"]) == (0, 0)
    if f"TensorRT-RTX {made['version']}," not in table:
        pytest.skip(f"the page is of another TensorRT-RTX than {made['version']}")
    assert f"| `{made['model']}` {models.line(made)}\n" in table
