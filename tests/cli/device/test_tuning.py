"""``edaformer-tune --device ssh://``: a whole search from the desk, through a real sshd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.tune.device.afar import MOST_BUILT
from edaformer.engines.tune.points import HEADLINE
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE, ISR
from tests.cli.test_commands import Ran, Run, run
from tests.engines.tune.conftest import tiny_folder
from tests.remote.sshd import NAME, Sshd
from tests.remote.stand import built, lay, order

__all__ = ["run", "tiny_folder"]  # fixtures
HOST = f"ssh://{NAME}"
PAPER = ISR.parse("paper")  # both are always shown, hence always measured
Tune = Callable[..., Ran]


@pytest.fixture
def tune(
    orin: Sshd, run: Run, small_checkpoint: Checkpoint, tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Tune:  # fmt: skip
    lay(orin, monkeypatch)
    words = (
        "tune", small_checkpoint.path, "--device", HOST, "--data", f"folder:{tiny_folder}",
        "--limit", 4, "--size", "64x64", "--trials", 12, "--max-miou-drop", 100, "--out", "out",
        "--trust-labels",
    )  # fmt: skip
    return lambda *more: run(*words, *more)


def told() -> dict[str, Any]:
    return dict(json.loads(Path("out/tune.json").read_text()))


def test_a_search_goes_on_without_what_the_device_refuses(tune: Tune, orin: Sshd) -> None:
    order(orin, build={str(PAPER): 1}, bench={str(HEADLINE): "kill"})
    ran = tune()
    assert ran.code == 0, ran.err
    made = told()
    refused = {one["isr"]: one["reason"] for one in made["refused"]}
    assert set(refused) == {str(PAPER), str(HEADLINE)}
    assert refused[str(PAPER)] == (
        "edaformer-build ended with exit code 1: error: attention is not fused"
    )
    assert "killed it for memory" in refused[str(HEADLINE)]
    assert {one["latency_source"] for one in made["front"]} == {"measured"}
    assert not refused.keys() & {one["isr"] for one in (*made["front"], made["pick"])}
    assert made["device"]["name"] == HOST
    for isr, reason in refused.items():
        assert f"note: {isr} is left out: {reason}" in " ".join(ran.out.split())
    assert f"at most {MOST_BUILT} settings are built on {HOST}, base first" in ran.err
    number = len(set(built(orin)))
    assert f"to be built and measured on {HOST}: {number} settings" in ran.err
    assert built(orin)[0] == str(BASE)
    assert len(built(orin)) == number <= MOST_BUILT
    assert orin.left() == []


def test_a_search_that_was_cut_goes_on(tune: Tune, orin: Sshd) -> None:
    order(orin, build={str(PAPER): "cut"})
    cut = tune()
    assert cut.code == 3
    assert f"the connection to {HOST} was lost while running edaformer-build" in cut.err
    assert "--resume" in cut.err
    assert "Traceback" not in cut.err
    before = built(orin)
    assert tune("--resume").code == 0
    assert told()["refused"] == []
    assert built(orin).count(str(PAPER)) == 2  # the one that was cut
    assert all(built(orin).count(isr) == 1 for isr in before[:-1])
    assert orin.left() == []
