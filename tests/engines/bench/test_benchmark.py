"""The whole benchmark on a small export; what it says, never how fast it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaformer.cli.bench import print_record
from edaformer.engines.artifact import preflight
from edaformer.engines.bench import benchmark as module
from edaformer.engines.bench import runners
from edaformer.engines.bench.benchmark import benchmark
from edaformer.engines.bench.compare import marks
from edaformer.engines.bench.contenders import BenchOptions, choose
from edaformer.engines.bench.probe import Start, probe, start
from edaformer.engines.bench.profile import onnx_layers
from edaformer.engines.bench.record import read_record
from edaformer.engines.bench.runners import Contender, OnnxRunner, PlanRunner, TorchRunner
from edaformer.engines.bench.state import State
from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.errors import InputError, MissingError
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.quantise.parts import PARTS
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.folder import lay_folder
from tests.standins.cuda import Machine, install

QUICK = {"duration": 0.2, "rounds": 2, "images": 2, "threads": 1}
START = Start(None, 0.1, 0.01, 1 << 20, None, None)


@pytest.fixture(scope="module")
def fp32(
    small_checkpoint: Checkpoint, small_fp32: ExportResult, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportResult, ExportResult]:
    """At 60x90: labels, and logits."""
    options = ExportOptions(size=(60, 90), precision="fp32", outputs=("logits",))
    path = tmp_path_factory.mktemp("fp32") / "logits.onnx"
    return small_fp32, export_model(small_checkpoint, options, path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    nothing = np.zeros((60, 90), np.uint8)
    pairs = ((image, nothing) for image in natural_noise(2, (60, 90)))
    return f"folder:{lay_folder(tmp_path / 'data', pairs)}"


def stand_on(monkeypatch: pytest.MonkeyPatch, gpu: preflight.Gpu | None) -> None:
    """A machine with this GPU, and all that the runtime imports."""
    monkeypatch.setattr(preflight, "query_gpu", lambda: gpu)
    for name, package in install(Machine()).items():
        monkeypatch.setitem(sys.modules, name, package)


@pytest.mark.slow
def test_two_exports_and_torch(
    fp32: tuple[ExportResult, ExportResult], small_checkpoint: Checkpoint, data: str, tmp_path: Path
) -> None:
    labels, logits = fp32
    options = BenchOptions(**QUICK, data=data, against=("torch",), rate=200, profile=True,
                           checkpoint=small_checkpoint.path)  # fmt: skip
    steps: list[str] = []
    made = benchmark([labels.path, logits.path], options, on_step=steps.append)
    assert [result.subject.name for result in made.results] == [labels.path.name, "logits.onnx",
                                                                "torch"]  # fmt: skip
    for result in made.results:
        assert result.latency.frames >= 2
        assert 0 < result.latency.least <= result.latency.p50 <= result.latency.p99
        assert len(result.rounds) == 2
        assert result.cpu_seconds_per_image > 0
        assert (result.split.network is None) == (result.subject.kind == "torch")
        assert (result.split.postprocess is None) == (result.subject.name != "logits.onnx")
        assert (result.layers is None) == (result.subject.kind == "torch")
        (start,) = result.starts
        assert start.load_seconds > 0
        assert start.host_bytes is not None
        assert start.host_bytes > 50e6  # a Python with NumPy and a model
        camera = result.camera
        assert camera is not None
        assert camera.processed + camera.dropped == camera.arrived
    for comparison in made.comparisons:
        assert comparison.first == labels.path.name
        assert comparison.agreement is not None
        assert comparison.worst_margin is not None
        assert comparison.worst_margin < 1e-4
        assert comparison.ratio == pytest.approx(np.median(comparison.ratios))
    path = tmp_path / "record.json"
    path.write_text(json.dumps(made.to_json()))
    assert read_record(path)["results"][0]["camera"]["missed"] >= 0
    assert sum("round" in step for step in steps) == 2


def test_runners_agree(
    fp32: tuple[ExportResult, ExportResult], small_checkpoint: Checkpoint
) -> None:
    labels, logits = fp32
    images = natural_noise(1, (60, 90))
    made = []
    for export in (labels, logits):
        runner = OnnxRunner(Contender("onnx", export.path, "cpu", 1), export.manifest)
        made.append(runner.frame(images))
        streamed = list(runner.stream([images, images[:, ::-1].copy(), images]))
        assert len(streamed) == 3
        assert (streamed[0] == streamed[2]).all()
        assert (streamed[0] != streamed[1]).any()
        assert (streamed[0] == made[-1]).all()
    torch = TorchRunner(
        Contender("torch", labels.path, "cpu", 1, small_checkpoint.path), labels.manifest
    )
    assert "float32, eager" in torch.description
    for other in made:
        assert (other == torch.frame(images)).mean() > 0.9999


def test_tensor_input_is_normalised_in_the_frame(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    options = ExportOptions(size=(64, 96), precision="fp32", input="tensor")
    export = export_model(small_checkpoint, options, tmp_path / "x.onnx")
    runner = OnnxRunner(Contender("onnx", export.path, "cpu", 1), export.manifest)
    labels, split = runner.split(natural_noise(1, (64, 96)))
    assert labels.shape == (1, 64, 96)
    assert split.preprocess is not None


def test_a_compiler_that_is_not_here(
    fp32: tuple[ExportResult, ExportResult], small_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import torch

    def compiled(*_: object, **__: object) -> Any:
        def run(_: object) -> None:
            raise RuntimeError("\nNo C++ compiler")

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    contender = Contender("torch-compile", fp32[0].path, "cpu", 1, small_checkpoint.path)
    with pytest.raises(MissingError, match=r"does not work here \(No C\+\+ compiler\)"):
        TorchRunner(contender, fp32[0].manifest)


@dataclass
class Times:
    copy_in: float = 1e-4
    preprocess: float = 2e-4
    network: float = 3e-3
    postprocess: float = 4e-4
    copy_out: float = 1e-4
    wall: float = 4e-3


class FakeEngine:
    """What Engine.load returns, as far as the benchmark uses it."""

    description = "TensorRT, a stand-in"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        assert image.shape == (60, 90, 3)
        return image[..., 0] % 5

    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return map(self, frames)

    def timed(self, image: np.ndarray) -> tuple[np.ndarray, Times]:
        return self(image), Times()

    def close(self) -> None:
        self.closed = True


def test_a_plan_through_the_runtime(
    small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    """Three starts, five parts, everything measured; the engine is a stand-in."""
    engines: list[FakeEngine] = []
    caches: list[bool] = []

    def load(_: Path, *, runtime_cache: bool, witness: bool) -> FakeEngine:
        engines.append(FakeEngine())
        return engines[-1]

    def start(contender: Contender) -> Start:
        caches.append(contender.runtime_cache)
        return START

    stand_on(monkeypatch, preflight.Gpu("L4", "8.9", False, 1, (13, 0)))
    monkeypatch.setattr(runners, "load_engine", load)
    monkeypatch.setattr(module, "probe", start)
    made = benchmark([small_plan.path], BenchOptions(**QUICK, data=data))
    (result,) = made.results
    assert caches == [False, True, True]
    assert (result.split.network, result.split.copy_out) == (3e-3, 1e-4)
    assert result.images_per_second_pipelined is not None
    assert result.subject.description == "TensorRT, a stand-in"
    assert engines[-1].closed


@pytest.mark.slow
def test_eight_bits_stand_beside_fp16(
    small_plan: BuildResult, int8_export: ExportResult, tmp_path: Path, data: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What each engine launches, moves and labelled, by its manifest."""
    how = BuildOptions(backend="tensorrt-rtx", allow_unfused=True, weigh=False)
    eight = build_engine(int8_export.path, tmp_path / "int8.plan", how)
    stand_on(monkeypatch, preflight.Gpu("L4", "8.9", False, 1, (13, 0)))
    monkeypatch.setattr(runners, "load_engine", lambda *_, **__: FakeEngine())
    monkeypatch.setattr(module, "probe", lambda _: START)
    made = benchmark([small_plan.path, eight.path], BenchOptions(**QUICK, data=data))
    half, other = (result.subject.recorded for result in made.results)
    assert half is not None
    assert other is not None
    figures = eight.to_json()
    assert (half.quantised, half.dequantise_kernels, half.miou) == ((), 0, None)
    assert other.quantised == PARTS
    assert other.kernels == figures["kernels"]["total"] > small_plan.to_json()["kernels"]["total"]
    assert other.traffic_bytes == figures["memory"]["traffic_bytes"]
    assert (other.fused_blocks, other.attention_blocks) == (figures["attention"]["fused"], 22)
    assert other.dequantise_kernels
    check = int8_export.manifest.verification
    assert check is not None
    assert (other.agreement, other.miou) == (check.label_agreement, check.label_miou)
    assert made.to_json()["results"][1]["subject"]["recorded"]["kernels"] == other.kernels
    print_record(made)
    text = capsys.readouterr().out
    assert "in eight bits" in text
    assert f"{other.traffic_bytes / 1e6:.1f}" in text
    assert f"{check.label_miou:.2f}" in text
    assert f"{min(made.results[1].rounds) * 1e3:.2f} to " in text
    alone = replace(made, results=made.results[:1], comparisons=())
    print_record(alone)
    assert "in eight bits" not in capsys.readouterr().out


def test_a_start_asks_no_witness(small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frames would come before the first one that is timed; the benchmark itself asks."""
    asked: list[bool] = []

    def load(_: Path, *, runtime_cache: bool, witness: bool) -> FakeEngine:
        asked.append(witness)
        return FakeEngine()

    stand_on(monkeypatch, preflight.Gpu("L4", "8.9", False, 1, (13, 0)))
    monkeypatch.setattr(runners, "load_engine", load)
    contender = Contender("plan", small_plan.path, "cuda", 1)
    start(contender)
    PlanRunner(contender, small_plan.manifest).close()
    assert asked == [False, True]


def test_a_plan_without_a_gpu_is_missing_one(
    small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_on(monkeypatch, None)
    with pytest.raises(MissingError, match="no NVIDIA GPU is visible"):
        benchmark([small_plan.path])
    with pytest.raises(MissingError):
        PlanRunner(Contender("plan", small_plan.path, "cuda", 1), small_plan.manifest)


def test_a_start_that_fails_says_why(small_plan: BuildResult) -> None:
    contender = Contender("torch", small_plan.path, "cpu", 1)
    with pytest.raises(MissingError, match=r"process of its own: PyTorch needs the checkpoint"):
        probe(contender)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 0}, "expected --images of 1 to 1000, got 0"),
        ({"rounds": 0}, "expected --rounds of 1"),
        ({"threads": 0}, "expected --threads of 1"),
        ({"duration": 0}, "expected --duration"),
        ({"duration": float("nan")}, "expected --duration"),
        ({"rate": 0}, "expected --rate"),
        ({"against": ("tensorflow",)}, "expected --against out of torch, torch-compile"),
        ({"against": ("torch", "torch")}, "each once"),
        ({"checkpoint": Path("x")}, "--checkpoint is for PyTorch"),
    ],
)
def test_bad_options(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BenchOptions(**change)


def test_who_cannot_take_part(
    fp32: tuple[ExportResult, ExportResult], small_plan: BuildResult, data: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    onnx = fp32[0].path
    with pytest.raises(InputError, match="named twice"):
        choose([onnx, onnx], BenchOptions())
    with pytest.raises(InputError, match="at least one"):
        choose([], BenchOptions())
    with pytest.raises(InputError, match="runs through ONNX Runtime already"):
        choose([onnx], BenchOptions(against=("onnxruntime",)))
    with pytest.raises(InputError, match="made from another checkpoint"):
        choose([onnx], BenchOptions(against=("torch",)))
    stand_on(monkeypatch, preflight.Gpu("L4", "8.9", False, 1, (13, 0)))
    with pytest.raises(InputError, match="--provider is for ONNX Runtime"):
        choose([small_plan.path], BenchOptions(provider="cpu"))
    made = choose([small_plan.path], BenchOptions(against=("onnxruntime",)))
    assert [contender.kind for contender in made] == ["plan", "onnx"]
    other = tmp_path / "other.plan"
    other.write_bytes(small_plan.path.read_bytes())
    with pytest.raises(InputError, match=r"needs the ONNX file that other.plan was built from"):
        choose([other], BenchOptions(against=("onnxruntime",)))


def state(**changes: Any) -> State:
    known: dict[str, Any] = dict.fromkeys(State.__dataclass_fields__)
    return State(**{**known, "load": 0.0, **changes})


def test_marks() -> None:
    assert marks(state(), state(), 0.01, [1980, 1975], []) == ()
    made = marks(
        state(throttling=("power cap",)),
        state(gpu_mhz_limits=(306, 918), cpu_governor="powersave", throttling=()),
        0.5,
        [1980, 1200],
        [],
    )
    assert len(made) == 5
    told = " ".join(made)
    for words in ("took 50% of the cores", "1200 to 1980 MHz", "sudo jetson_clocks",
                  "throttled: power cap", "'powersave'"):  # fmt: skip
        assert words in told


def test_layers_of_onnx_runtime_s_trace() -> None:
    def event(name: str, duration: int) -> dict[str, Any]:
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": duration,
                "args": {"op_name": "Conv"}}  # fmt: skip

    events = [event("a", 900), event("a", 800), event("a", 10), event("a", 20), event("a", 30),
              {"cat": "Session", "name": "model_run", "dur": 5}]  # fmt: skip
    (layer,) = onnx_layers(events)
    assert (layer.name, layer.kind) == ("a", "Conv")
    assert layer.seconds == pytest.approx(20e-6)  # the first two only warm up


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 2}'])
def test_no_record(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError):
        read_record(tmp_path / "x.json")
