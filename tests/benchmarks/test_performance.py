"""docs/performance.md says what the records say."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaformer.engines.runtime.frame_times import FrameTimes
from tests.conftest import ROOT

PAGE = runpy.run_path(str(ROOT / "benchmarks" / "performance.py"))


def test_the_page_is_up_to_date() -> None:
    records = [(path.name, json.loads(path.read_text()))
               for path in sorted((ROOT / "benchmarks" / "records").glob("*.json"))]  # fmt: skip
    assert records
    assert PAGE["render"](records) == (ROOT / "docs" / "performance.md").read_text()


def test_layers_are_summed_by_kind() -> None:
    record = json.loads((ROOT / "benchmarks/records/cpu_demo_360x480_threads1.json").read_text())
    kinds = [f"K{number}" for number in range(12)]
    record["results"][0]["layers"] = [
        {"name": f"{kind}.{part}", "kind": kind, "seconds": (12 - number) / 2e3}
        for number, kind in enumerate(kinds) for part in range(2)
    ]  # fmt: skip
    page = PAGE["render"]([("record.json", record)])
    named = ", ".join(f"K{number} {12 - number}.00" for number in range(9))
    assert f"by kind of layer, in ms: {named}, others 6.00." in page


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
    for name in ("engines", "overhead", "agreement"):
        assert status[name] == "skipped"
    assert {name for name, text in status.items() if text == "ok"} >= {
        "machine", "bandwidth", "kernels", "soak", "torch_frames",
    }  # fmt: skip
    assert "failed" not in status.values(), dry["sections"]
    assert [dry["sections"][name]["result"]["missing"] for name in ("kernels", "torch_frames")] == [
        [], [],
    ]  # fmt: skip
    assert dry["sections"]["kernels"]["result"]["l2_flushed_by_bytes"] == 0  # a CPU's is not


@pytest.mark.slow
def test_plans_for_the_gpu_are_made_without_one(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    subprocess.run(
        [sys.executable, "benchmarks/gpu.py", "--dry-run", "--prepare", str(tmp_path)],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=True,
        capture_output=True,
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.glob("*.plan")) == [
        "T_5_64x96_base.plain.plan", "T_5_64x96_base.plan",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_dry_run_s_figures_are_not_published(dry: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="a dry run's figures mean nothing"):
        PAGE["render"]([("dry.json", dry)])
    dry = {**dry, "dry_run": False}
    dry["sections"]["engines"] = {"status": "ok", "result": {"engines": [
        {"case": "T_150_512x512_base", "refused": "Target GPU SM 90 is not supported"},
    ]}}  # fmt: skip
    dry["sections"]["rtx_probe"] = {"status": "failed", "reason": "RuntimeError: no driver",
                                    "result": {"default": {"failed": "no driver"}}}  # fmt: skip
    dry["sections"]["overhead"] = {"status": "unfinished", "reason": "the run ended in it",
                                   "result": {"frames": []}}  # fmt: skip
    missing = {"case": "B_150_512x512_base", "failed": "RuntimeError: it does not compile"}
    dry["sections"]["torch_frames"]["result"]["missing"].append(missing)
    page = PAGE["render"]([("gpu.json", dry)])
    assert "T_150_512x512_base: refused: Target GPU SM 90 is not supported" in page
    assert "rtx_probe failed: RuntimeError: no driver" in page
    assert "overhead unfinished: the run ended in it" in page
    assert "torch_frames, B_150_512x512_base failed: RuntimeError: it does not compile" in page
    assert "200 of 200 frames replayed" in page
    assert "No record of a GPU" not in page


def bench_record(*walls: float) -> dict[str, Any]:
    """A real record with the first results' medians as given."""
    made: dict[str, Any] = json.loads(
        (ROOT / "benchmarks" / "records" / "cpu_demo_360x480_threads1.json").read_text()
    )
    made["results"] = made["results"][: len(walls)]
    for result, wall in zip(made["results"], walls, strict=True):
        result["latency"]["p50"] = wall
    return made


def test_engines_are_held_against_what_was_promised() -> None:
    cases = {"T_19_1024x2048_base": (0.010, 0.016), "T_19_1024x2048_paper": (0.008, 0.015)}
    known = {
        "engines": {"engines": [{"case": c, "record": bench_record(*w)} for c, w in cases.items()]},
        "torch_frames": {"frames": [{"case": "T_19_1024x2048_base", "mode": "max-autotune",
                                     "eager": {"p50": 0.05}, "compile": {"p50": 0.032}}]},
        "overhead": {"frames": [{"case": "T_19_1024x2048_base", "host": 7e-5}]},
    }  # fmt: skip
    base, paper = PAGE["_engines"](known).splitlines()[2:]
    assert base.split("|")[3:-1] == [" 10.00 ", " 1.60 ", " 3.20 ", " 70 ", "  "]
    # a fifth of the time was saved
    promised = (
        1
        - PAGE["count"](PAGE["get_variant"]("T"), 19, (1024, 2048), PAGE["ISR"].parse("paper")).macs
        / PAGE["count"](PAGE["get_variant"]("T"), 19, (1024, 2048)).macs
    )
    assert paper.split("|")[-2].strip() == f"{0.2 / promised:.0%}"


class FakeEngine:
    """Takes no time, and says that the GPU took 5 ms."""

    size = (4, 6)
    warm = False

    def warmup(self) -> None:
        self.warm = True

    def timed(self, image: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], FrameTimes]:
        assert self.warm
        return image[..., 0], FrameTimes(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, wall=9e-3)

    def __call__(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        assert image.shape == (4, 6, 3)
        return image[..., 0]


def test_what_a_frame_takes_beyond_the_gpu() -> None:
    times = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))["_frame_times"](FakeEngine())
    assert times["gpu"] == pytest.approx(5e-3)
    assert times["host"] == times["wall"] - times["gpu"]
    assert times["split"]["wall"] == 9e-3


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
