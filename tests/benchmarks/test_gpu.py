"""benchmarks/gpu.py: what a dry run finds, what faults cost, and what its command refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.py"


def gpu(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], cwd=home, env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of a whole dry run: run/ is its folder, beside a HOME."""
    home = tmp_path_factory.mktemp("gpu")
    done = gpu("--dry-run", "--folder", "run", home=home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.slow
def test_every_section_runs_dry_or_says_why_not(dry: Path) -> None:
    sections = json.loads((dry / "run" / "gpu.json").read_text())["sections"]
    for name in ("engines", "eight_bits", "overhead", "agreement"):
        assert sections[name]["status"] == "skipped"
    for name in ("machine", "bandwidth", "soak", "torch_frames"):
        assert sections[name]["status"] == "ok", sections[name]
    for made in sections["kernels"]["missing"]:
        assert made["skipped"].startswith("no trained network's logits"), made
    assert all("failed" not in made for told in sections.values() for made in told["missing"])


@pytest.mark.slow
def test_a_case_is_measured_twice_with_its_spread_and_the_state(dry: Path) -> None:
    sections = json.loads((dry / "run" / "gpu.json").read_text())["sections"]
    names = [made["case"] for made in sections["kernels"]["cases"]]
    assert all(f"{name}, again" in names for name in names if not name.endswith(", again"))
    for made in sections["kernels"]["cases"]:
        assert made["seconds"]["p10"] <= made["seconds"]["p50"] <= made["seconds"]["p90"]
        assert "throttling" in made["state"]
    assert {made["logits"] for made in sections["kernels"]["cases"]} == {None, "smooth", "noise"}
    assert sections["bandwidth"]["cases"][0]["empty_kernel"]["count"] == 3


@pytest.mark.slow
def test_pytorch_is_measured_as_fast_as_it_goes(dry: Path) -> None:
    sections = json.loads((dry / "run" / "gpu.json").read_text())["sections"]
    (base, *_) = sections["torch_frames"]["cases"]
    assert set(base["together"]) == {"tuned", "hybrid", "compile"}
    assert "aten::scaled_dot_product_attention" in base["tuned"]["attention_kernels"]
    assert base["eager"]["attention_kernels"] == {}
    assert base["differ"]["hybrid"] < 0.01


@pytest.mark.slow
def test_nothing_is_written_outside_the_folder(dry: Path) -> None:
    assert [path.name for path in dry.iterdir()] == ["run"]
    assert {path.name for path in (dry / "run").iterdir()} == {
        "gpu.json", "logs", "cache", "home", "tmp",
    }  # fmt: skip


@pytest.mark.slow
def test_a_section_that_crashes_hangs_or_aborts_costs_no_other(tmp_path: Path) -> None:
    faults = {"rtx_probe": "abort", "bandwidth": "hang", "kernels": "segfault", "soak": "raise"}
    options = [part for pair in faults.items() for part in ("--fault", "=".join(pair))]
    done = gpu("--dry-run", "--folder", "run", "--budget", "300", *options, home=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    sections = json.loads((tmp_path / "run" / "gpu.json").read_text())["sections"]
    assert {name for name, made in sections.items() if made["status"] == "failed"} == set(faults)
    assert sections["machine"]["status"] == "ok"
    assert sections["torch_frames"]["cases"]
    reasons = {name: sections[name]["missing"][0]["failed"] for name in faults}
    assert reasons["rtx_probe"] == (
        "its process died of SIGABRT; it said last: rtx_probe was to abort"
    )
    assert "s and was killed" in reasons["bandwidth"]
    assert "died of SIGSEGV" in reasons["kernels"]
    assert reasons["soak"] == "RuntimeError: it was to raise"
    assert any("worker.py" in line for line in sections["kernels"]["missing"][0]["said"])
    page = subprocess.run(
        [sys.executable, "benchmarks/performance.py", str(tmp_path / "run" / "gpu.json")],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    for reason in reasons.values():
        assert reason.replace("|", "\\|") in page
    assert "| T_5_64x96_base | whole frame, ms |" in page


@pytest.mark.slow
def test_sigterm_leaves_whole_json_and_no_process(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    child = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--dry-run", "-o", str(output), "--fault", "machine=hang"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not output.exists() or "the run ended in this case" not in output.read_text():
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait() == 128 + signal.SIGTERM
    assert json.loads(output.read_text())["sections"]["machine"]["status"] == "unfinished"
    assert not _workers_of(output.parent)


def _workers_of(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line, where = (path / "cmdline").read_bytes(), (path / "cwd").readlink()
        except OSError:
            continue
        if b"--worker" in line and where == folder:
            found.append(line.decode())
    return found


def test_without_a_gpu_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("a GPU is here")
    done = gpu(home=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: this needs an NVIDIA GPU and its driver")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--plans", "none"), "none does not exist"),
        (("--budget", "nan"), "expected seconds above 0"),
        (("--fault", "soak=hang"), "--fault is for a --dry-run"),
        (("--dry-run", "--fault", "soak=melt"), "expected one of machine"),
        (("--compute-capability", "8.9"), "is for --prepare"),
        (("--dry-run", "-o", "/dev/null/gpu.json"), "expected a folder at /dev/null"),
    ],
)
def test_wrong_usage_is_refused_before_anything_runs(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = gpu(*arguments, home=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


BARE = """
import sys, time
for name in {missing}:
    sys.modules[name] = None
sys.path.insert(0, {folder!r})
from on_gpu.run import Run
from on_gpu.sections import BY_NAME
run = Run(True, time.monotonic() + 500, time.monotonic() + 500)
for name in ("machine", "bandwidth", "kernels", "soak", "torch_frames"):
    section = BY_NAME[name]
    section.work(run, section.cases(run)[0], lambda **facts: None)
from edaformer.engines.runtime.cuda import gpu, graphs  # what the kernels' launcher imports
"""


@pytest.mark.slow
def test_half_of_the_sections_run_on_a_bare_machine() -> None:
    pytest.importorskip("torch")
    missing = ("pydantic", "polygraphy", "pycuda", "filelock", "onnxscript", "onnx_ir", "pynvml",
               "safetensors", "tensorrt_rtx", "typer", "rich")  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", BARE.format(missing=missing, folder=str(SCRIPT.parent))], cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}, check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.mark.slow
def test_plans_for_the_gpu_are_made_without_one(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    done = gpu("--dry-run", "--prepare", str(tmp_path), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.plan")) == [
        "T_5_64x96_base.plain.plan", "T_5_64x96_base.plan",
    ]  # fmt: skip


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_every_benchmark_has_help(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script), "--help"], cwd=tmp_path, text=True, timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("usage: "), done.stdout
    assert list(tmp_path.iterdir()) == []
