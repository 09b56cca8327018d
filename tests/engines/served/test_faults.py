"""Each of faults.py's scenarios in its short form, on one server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edaformer.engines.handover import hand_over_runtime
from edaformer.export.exporter import ExportResult
from tests.engines.served import faults
from tests.engines.served.load import Known
from tools.tritonserver import TritonServer, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no Triton: {why_not()}")
pytest.importorskip("tritonclient.grpc")
pytest.importorskip("tritonclient.http")


@pytest.fixture(scope="module")
def served(
    small_fp32: ExportResult, small_export: ExportResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[faults.Served]:
    repository = tmp_path_factory.mktemp("faults") / "repository"
    hand_over_runtime(small_fp32.path, repository / faults.MODEL)
    known = Known.of(small_fp32.path, small_export.path)
    with TritonServer(repository, *faults.OPTIONS) as server:
        yield faults.Served(server, repository, known)


def test_bad_requests(served: faults.Served) -> None:
    told = faults.bad_requests(served, range(120))
    assert told["refused"] > 100


def test_clients_that_leave(served: faults.Served) -> None:
    faults.clients_that_leave(served, 12)


def test_overload_is_refused_early(served: faults.Served) -> None:
    told = faults.overload(served, 200)
    assert told["refused"]


def test_the_order_of_a_stream(served: faults.Served) -> None:
    faults.order_of_a_stream(served, 12)


def test_a_version_exchanged_under_load(served: faults.Served, small_export: ExportResult) -> None:
    told = faults.exchanges(served, small_export.path, 1)
    assert min(told["by"].values()) >= 8


def test_a_corrupt_model_beside_a_good_one(served: faults.Served) -> None:
    faults.corrupt_model_beside(served)


def test_a_killed_stub(served: faults.Served) -> None:
    told = faults.stub_kills(served, 1)
    assert any("is not healthy" in words for words in told["beside"]["words"])


def test_a_killed_server(served: faults.Served) -> None:
    told = faults.server_kills(served, 1)
    assert any("does not answer" in words for words in told["beside"]["words"])


def test_a_server_killed_under_edaformer_run(served: faults.Served, tmp_path: Path) -> None:
    faults.killed_under_a_run(served, tmp_path)
