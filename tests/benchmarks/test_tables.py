"""Tables that benchmarks write into pages: the pages hold what was recorded, and one row of each is
built again with TensorRT-RTX and compared."""

from __future__ import annotations

import re
from typing import Any

import adapting
import pytest
import quantising
import rewrites
import segformer
import serving

from edaformer.families.edaformer.sizes import get_variant
from edaformer.machine import backend
from tests.conftest import ROOT

ROWS = rewrites.read(rewrites.RECORDS)
ADAPTING, SERVING = ROOT / "docs" / "adapting.md", ROOT / "docs" / "serving.md"
QUANTISATION = ROOT / "docs" / "quantisation.md"
REWRITES, SEGFORMER = ROOT / "docs" / "rewrites.md", ROOT / "docs" / "segformer.md"


def row(**wanted: str) -> dict[str, Any]:
    (found,) = [one for one in ROWS if wanted.items() <= one.items()]
    return found


@pytest.fixture
def same_builder() -> None:
    """The figures are one builder's."""
    if not backend.is_installed("tensorrt-rtx"):
        pytest.skip("needs TensorRT-RTX")
    built, here = row_of_page()["version"], str(backend.use("tensorrt-rtx").version)
    if here != built:
        pytest.skip(f"the pages are of TensorRT-RTX {built}, here is {here}")


def row_of_page() -> dict[str, Any]:
    return row(variant="T", size="512x512", isr="base", case="none")


def test_the_page_of_rewrites_is_the_record() -> None:
    assert rewrites.between(REWRITES)[1] == rewrites.tables(ROWS), (
        "run: python benchmarks/rewrites.py --page docs/rewrites.md"
    )


def test_the_page_of_adapting_is_the_record() -> None:
    assert rewrites.between(ADAPTING)[1] == adapting.table(adapting.read(adapting.RECORDS)), (
        "run: python benchmarks/adapting.py --page docs/adapting.md"
    )


def test_the_page_of_serving_is_the_record() -> None:
    assert rewrites.between(SERVING)[1] == serving.tables(serving.read(serving.RECORDS)), (
        "run: python benchmarks/serving.py --page docs/serving.md"
    )


def test_the_page_of_quantisation_is_the_record() -> None:
    done = quantising.read(quantising.RECORDS)
    assert rewrites.between(QUANTISATION)[1] == quantising.table(done), (
        "run: python benchmarks/quantising.py --page docs/quantisation.md"
    )
    for name, line in done.items():  # what the issue asked for, and its page says
        assert line["agreement"] >= 0.996, name
        assert line["miou"] - line["miou_float"] >= -0.3, name


def test_what_the_pages_say_in_words_is_in_the_record() -> None:
    plain, made = row_of_page(), row(variant="T", size="512x512", isr="base", case="defaults")
    before, after = (f"{one['scratch'] / 1e6:.0f}" for one in (plain, made))
    memory = f"{after} MB of scratch memory instead of {before}"
    readme, page = (
        re.sub(r"\s+", " ", path.read_text()) for path in (ROOT / "README.md", REWRITES)
    )
    assert memory in readme
    assert memory in page
    assert f"{1 - made['traffic'] / plain['traffic']:.0%}".replace("%", " % less") in readme
    assert f"{made['kernels']} kernels instead of {plain['kernels']}" in page
    traffic = (f"{one['traffic'] / 1e6:.0f}" for one in (made, plain))
    assert "read and write {} MB a frame instead of {}".format(*traffic) in page


@pytest.mark.slow
@pytest.mark.usefixtures("same_builder")
def test_a_row_of_rewrites_built_again() -> None:
    recorded = row_of_page()
    made = rewrites.measure(get_variant("T"), (512, 512), 150, "base", (), run=False)
    assert rewrites.cells({"case": "none", **made}) == rewrites.cells(recorded)


@pytest.mark.slow
@pytest.mark.usefixtures("same_builder")
def test_a_row_of_segformer_built_again() -> None:
    made = segformer.row((512, 512), 150, "base", segformer.REWRITES)
    assert segformer.line(made) in rewrites.between(SEGFORMER)[1].splitlines()
