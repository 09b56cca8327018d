"""docs/performance.md says what the records say."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PAGE = runpy.run_path(str(ROOT / "benchmarks" / "performance.py"))


def test_the_page_is_up_to_date() -> None:
    records = [(path.name, json.loads(path.read_text()))
               for path in sorted((ROOT / "benchmarks" / "records").glob("*.json"))]  # fmt: skip
    assert records
    assert PAGE["render"](records) == (ROOT / "docs" / "performance.md").read_text()


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What benchmarks/gpu.py writes on a CPU."""
    path = tmp_path_factory.mktemp("gpu") / "gpu.json"
    subprocess.run(
        [sys.executable, "benchmarks/gpu.py", "--dry-run", "-o", str(path)],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=True,
        capture_output=True,
    )  # fmt: skip
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.slow
def test_every_section_runs_dry_or_says_why_not(dry: dict[str, Any]) -> None:
    status = {name: made["status"] for name, made in dry["sections"].items()}
    assert status["engines"] == "skipped"
    assert {name for name, text in status.items() if text == "ok"} >= {
        "machine", "bandwidth", "kernels", "soak", "torch_frames",
    }  # fmt: skip
    assert "failed" not in status.values(), dry["sections"]


@pytest.mark.slow
def test_a_dry_run_s_figures_are_not_published(dry: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="a dry run's figures mean nothing"):
        PAGE["render"]([("dry.json", dry)])
    dry = {**dry, "dry_run": False}
    dry["sections"]["engines"] = {"status": "ok", "result": {"engines": [
        {"case": "T_150_512x512_base", "refused": "Target GPU SM 90 is not supported"},
    ]}}  # fmt: skip
    dry["sections"]["rtx_probe"] = {"status": "failed", "reason": "RuntimeError: no driver"}
    page = PAGE["render"]([("gpu.json", dry)])
    assert "T_150_512x512_base: refused: Target GPU SM 90 is not supported" in page
    assert "rtx_probe failed: RuntimeError: no driver" in page
    assert "200 of 200 frames replayed" in page
    assert "No record of a GPU" not in page


def test_one_failing_section_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))
    run = gpu["Run"](dry=True, plans=None, deadline=float("inf"), device="cpu")

    def fails(_: object) -> dict[str, Any]:
        raise ValueError("broken")

    assert gpu["run_section"](fails, run)["reason"] == "ValueError: broken"
    late = gpu["Run"](dry=True, plans=None, deadline=0.0, device="cpu")
    assert gpu["run_section"](fails, late)["reason"] == "out of time"
    missing = gpu["run_section"](gpu["engines"], run)
    assert (missing["status"], "--prepare" in missing["reason"]) == ("skipped", True)
    real = gpu["Run"](dry=False, plans=None, deadline=float("inf"), device="cuda")
    assert gpu["run_section"](gpu["soak"], real)["status"] in {"skipped", "failed"}
    assert Path(gpu["__file__"]).name == "gpu.py"
