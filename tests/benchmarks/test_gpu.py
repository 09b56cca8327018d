"""benchmarks/gpu.py keeps what it found, whatever happens, and times the GPU alone."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edaformer.engines.runtime import kernels
from edaformer.engines.runtime.cuda import calls
from edaformer.labels.geometry import Geometry
from edaformer.preprocess import MEAN, STD
from tests.conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses looks
    spec.loader.exec_module(module)
    return module


def make_run(gpu: ModuleType, *, seconds: float = 1e6, dry: bool = True, **more: Any) -> Any:
    device = "cpu" if dry else "cuda"
    return gpu.Run(dry, None, time.monotonic() + seconds, device, **more)


# --- what is kept -------------------------------------------------------------------------------


def halve(case: int, made: dict[str, Any]) -> None:
    made["half"] = 6 // case
    if case == 5:
        raise ValueError("no fives")


def test_a_failing_case_costs_no_other_and_keeps_what_it_had(gpu: ModuleType) -> None:
    kept: list[str] = []
    run = make_run(gpu, keep=lambda found: kept.append(json.dumps(found)))
    found: dict[str, Any] = {"unit": "s"}
    gpu.each(run, found, "halves", {"none": 0, "five": 5, "two": 2}, halve, reserve=1e9)
    assert found["halves"] == [{"case": "two", "half": 3}]
    none, five = found["missing"]
    assert none["failed"].startswith("ZeroDivisionError: ")
    assert five == {"case": "five", "half": 1, "failed": "ValueError: no fives"}
    assert [len(json.loads(text)["missing"]) for text in kept] == [1, 2, 2]


def test_a_case_without_its_reserve_is_not_begun(gpu: ModuleType) -> None:
    found: dict[str, Any] = {}
    run = make_run(gpu, seconds=30, dry=False)
    with pytest.raises(gpu.Skipped, match="s were left, and it may take 60 s"):
        gpu.each(run, found, "halves", {"two": 2, "one": 1}, halve, reserve=60)
    assert [entry["case"] for entry in found["missing"]] == ["two", "one"]
    assert found["halves"] == []


def test_a_case_needs_what_the_longest_took(gpu: ModuleType, monkeypatch: Any) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(gpu, "time", clock)

    def take(seconds: int, made: dict[str, Any]) -> None:
        clock.now += seconds

    found: dict[str, Any] = {}
    run = gpu.Run(False, None, 100, "cuda")
    gpu.each(run, found, "waits", {"long": 55, "next": 1}, take, reserve=10)
    assert [entry["case"] for entry in found["waits"]] == ["long"]
    assert found["missing"][0]["skipped"] == "45 s were left, and it may take 55 s"


def test_a_section_of_failures_has_failed_and_tells_them(gpu: ModuleType) -> None:
    def section(run: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"unit": "s"}
        gpu.each(run, found, "halves", {"none": 0, "five": 5}, halve, reserve=0)
        return found

    written: list[dict[str, Any]] = []
    made = gpu.run_section(section, make_run(gpu), written.append)
    assert made["status"] == "failed"
    assert made["reason"].startswith("RuntimeError: no case was done; none: ZeroDivisionError")
    assert [entry["case"] for entry in made["result"]["missing"]] == ["none", "five"]
    assert [told["status"] for told in written] == ["unfinished"] * 3


def test_an_interrupt_leaves_the_cases_before_it(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def section(run: Any) -> dict[str, Any]:
        def work(case: int, made: dict[str, Any]) -> None:
            halve(case, made)
            if case == 1:
                raise KeyboardInterrupt

        found: dict[str, Any] = {}
        gpu.each(run, found, "halves", {"two": 2, "one": 1}, work, reserve=0)
        return found

    monkeypatch.setattr(gpu, "SECTIONS", ((section, 1), (gpu.machine, 1)))
    with pytest.raises(KeyboardInterrupt):
        gpu.run_sections(make_run(gpu), tmp_path / "gpu.json")
    told = json.loads((tmp_path / "gpu.json").read_text())["sections"]["section"]
    assert (told["status"], told["result"]["halves"]) == (
        "unfinished", [{"case": "two", "half": 3}],
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


def test_a_section_has_its_share_and_leaves_what_it_does_not_use(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []

    def section(run: Any) -> dict[str, Any]:
        left.append(run.left())
        return {}

    monkeypatch.setattr(gpu, "SECTIONS", ((section, 1), (section, 2), (section, 1)))
    gpu.run_sections(make_run(gpu, seconds=400), tmp_path / "gpu.json")
    assert left == pytest.approx([100, 400 * 2 / 3, 400], abs=5)


def test_pytorch_s_frames_come_before_the_labels(gpu: ModuleType) -> None:
    names = [section.__name__ for section, _ in gpu.SECTIONS]
    assert names.index("torch_frames") < names.index("agreement")


@pytest.mark.slow
def test_sigterm_leaves_whole_json(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    child = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--dry-run", "-o", str(output)],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not output.exists():
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    assert child.wait() == 128 + signal.SIGTERM
    sections = json.loads(output.read_text())["sections"]
    assert [made["status"] for made in sections.values()][-1] == "unfinished"


# --- processes of their own ---------------------------------------------------------------------


def install(monkeypatch: pytest.MonkeyPatch, path: Path, script: str) -> None:
    """``script`` in Python's place."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_probe_that_dies_is_a_failed_section(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "dies", 'echo "free(): invalid pointer" >&2; kill -ABRT $$')
    made = gpu.run_section(gpu.rtx_probe, make_run(gpu))
    assert made["status"] == "failed"
    assert set(made["result"]) == {"default", "CURRENT"}
    said = "its process died of SIGABRT; it said last: free(): invalid pointer"
    assert made["result"]["CURRENT"]["failed"] == said
    assert said in made["reason"]


def test_a_plan_whose_process_dies_costs_no_other(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """case "$4" in
*bad.plan) seq 20 >&2; exit 3;;
*) echo '{"status": "ok", "result": {"wall": 1}}' > "$6";;
esac"""
    install(monkeypatch, tmp_path / "python", script)
    for name in ("bad.plan", "good.plan", "good.plain.plan", "trained.plan"):
        (tmp_path / name).touch()
    run = gpu.Run(True, tmp_path, time.monotonic() + 100, "cpu")
    made = gpu.overhead(run)
    assert made["frames"] == [{"case": "good", "wall": 1}]
    assert [entry["case"] for entry in made["missing"]] == ["bad"]
    assert made["missing"][0]["failed"].endswith(
        "ended with 3; it said last: 13 | 14 | 15 | 16 | 17 | 18 | 19 | 20"
    )


def test_a_process_that_takes_too_long_ends_with_all_it_started(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "waits", f"sleep 60 & echo $! > {tmp_path}/started; wait")
    with pytest.raises(gpu.ChildError, match="took longer than the time left and was killed"):
        gpu.in_child(make_run(gpu, seconds=1), "rtx_probe", "default")
    grandchild = int((tmp_path / "started").read_text())
    for _ in range(500):  # until whoever adopted it has seen that it is dead
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(grandchild, 0)
            if Path(f"/proc/{grandchild}/stat").read_text().split(") ")[1][0] != "Z":
                time.sleep(0.01)
                continue
        break
    else:
        pytest.fail("it still runs")


@pytest.mark.slow
def test_what_a_child_says_comes_back(gpu: ModuleType, tmp_path: Path) -> None:
    run = gpu.Run(True, tmp_path, time.monotonic() + 100, "cpu")
    refused = gpu.in_child(run, "overhead", str(tmp_path / "none.plan"))["refused"]
    assert "none.plan" in refused


# --- the kernels --------------------------------------------------------------------------------


class Driver:
    """What cuda.bindings is asked for: one module, one function, launches read as the GPU would."""

    def __init__(self) -> None:
        self.launched: list[tuple[Any, ...]] = []

    def call(self, name: str, *arguments: Any) -> Any:
        if name == "cuModuleLoadData":
            assert b".version" in arguments[0]
            assert arguments[0].endswith(b"\0")
        if name == "cuModuleGetFunction":
            return arguments[1].decode()
        if name == "cuLaunchKernel":
            *shape, stream, parameters, extra = arguments
            assert parameters is None
            fields = (ctypes.c_void_p * 5).from_address(extra)
            assert (fields[0], fields[2], fields[4]) == (1, 2, None)
            size = ctypes.c_size_t.from_address(fields[3] or 0).value
            self.launched.append((*shape, stream, ctypes.string_at(fields[1] or 0, size)))
        return name

    def CUstream(self, handle: int) -> tuple[str, int]:  # noqa: N802  # the driver's name
        return "stream", handle


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    monkeypatch.setattr(calls, "call", made.call)
    monkeypatch.setattr(calls, "driver", lambda: made)
    return made


def test_a_kernel_gets_its_parameters_as_one_buffer(gpu: ModuleType, driver: Driver) -> None:
    geometry = Geometry((48, 64), (48, 64), (48, 64))
    resizing = kernels.Resizing.of("opencv-bilinear", geometry)
    work = kernels.frame_to_tensor(
        4096, 8192, 1, geometry, resizing, reversed_colours=False, mean=MEAN, std=STD
    )
    gpu.launch("function", work, 7)
    (made,) = driver.launched
    assert made == (
        "function", *work.grid, work.threads, 1, 1, 0, ("stream", 7), work.arguments,
    )  # fmt: skip


def test_our_kernels_find_the_tensors(
    gpu: ModuleType, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    own = gpu._OwnKernels(SimpleNamespace(cuda_stream=7), "PyTorch's")
    monkeypatch.setattr(own, "_buffer", lambda shape, dtype: torch.empty(shape, dtype=dtype))
    frame, logits = gpu._kernel_inputs(make_run(gpu), (48, 64), (48, 64), 5)
    floats, labels = own.preprocess(frame, (48, 64)), own.labels(logits, (48, 64), (48, 64))
    own.close()
    assert [made[0] for made in driver.launched] == ["frame_tensor", "argmax_half"]
    for made, inputs, output in zip(
        driver.launched, (frame, logits), (floats, labels), strict=True
    ):
        addresses = np.frombuffer(made[-1][:16], np.uint64).tolist()
        assert addresses == [inputs.data_ptr(), output.data_ptr()]


BARE = """
import runpy, sys, time
for name in {missing}:
    sys.modules[name] = None
script = runpy.run_path({script!r})
run = script["Run"](True, None, time.monotonic() + 500, "cpu")
for name in ("machine", "bandwidth", "kernels", "soak", "torch_frames"):
    made = script["run_section"](script[name], run)
    assert made["status"] == "ok", made
from edaformer.engines.runtime.cuda import gpu, graphs  # what _OwnKernels imports
"""


@pytest.mark.slow
def test_half_of_the_sections_run_on_a_bare_machine() -> None:
    pytest.importorskip("torch")
    missing = ("pydantic", "polygraphy", "pycuda", "filelock", "onnxscript", "onnx_ir", "pynvml",
               "safetensors", "tensorrt_rtx", "typer", "rich")  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", BARE.format(missing=missing, script=str(SCRIPT))], cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True,
    )  # fmt: skip


class Cuda:
    """torch.cuda of a GPU that has its events while it spins for less than the host takes."""

    def __init__(self, host_cycles: int) -> None:
        self.host_cycles, self.did, self.spins = host_cycles, [], []  # type: ignore[var-annotated]
        self.spun = 0

    def _sleep(self, cycles: int) -> None:
        self.did.append("spin")
        self.spun = cycles
        self.spins.append(cycles)

    def Event(self, *, enable_timing: bool) -> Any:  # noqa: N802  # torch's name
        assert enable_timing
        return SimpleNamespace(
            record=lambda: self.did.append("event"), synchronize=lambda: None,
            query=lambda: self.spun < self.host_cycles, elapsed_time=lambda _: 2.0,
        )  # fmt: skip


@pytest.mark.parametrize(("host_cycles", "rounds"), [(0, 3), (3 << 22, 5), (1 << 40, None)])
def test_a_round_counts_once_the_host_is_ahead(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, host_cycles: int, rounds: int | None
) -> None:
    cuda = Cuda(host_cycles)
    scratch = SimpleNamespace(zero_=lambda: cuda.did.append("flush"))
    fake = SimpleNamespace(cuda=cuda, empty=lambda *_, **__: scratch, uint8="uint8")
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]

    def step() -> None:
        cuda.did.append("step")

    if rounds is None:
        with pytest.raises(RuntimeError, match="the step waits for the GPU"):
            gpu._gpu_seconds(step, 3, 100)
        return
    assert gpu._gpu_seconds(step, 3, 100) == pytest.approx(2e-3)
    assert cuda.did == ["flush", "spin", "event", "step", "event"] * rounds
    assert cuda.spins == sorted(cuda.spins)


def test_each_compilation_is_for_its_own_shape(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    did: list[Any] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: did.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda step, **how: did.append(how))
    gpu.compiled(make_run(gpu, dry=False), test_each_compilation_is_for_its_own_shape, "mode")
    assert did == ["reset", {"mode": "mode", "dynamic": False}]
