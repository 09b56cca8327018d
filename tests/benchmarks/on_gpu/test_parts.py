"""What benchmarks/gpu.py is made of: launches, times, and answers read."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from on_gpu import frames, own, plans, prepare, probe, record, state, steps, timing
from on_gpu.kernels import frame_of, smooth_logits
from on_gpu.run import Run, Section, Skipped, alone
from on_gpu.sections import SECTIONS
from on_gpu.worker import Ended

from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.runtime import kernels
from edaformer.engines.runtime.cuda import calls
from edaformer.engines.runtime.frame_times import FrameTimes
from edaformer.errors import InputError
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.labels.geometry import Geometry
from edaformer.preprocess import MEAN, STD


def make_run(*, seconds: float = 1e6, dry: bool = True) -> Run:
    end = time.monotonic() + seconds
    return Run(dry, end, end)


class Driver:
    """What cuda.bindings is asked for: one module, one function, launches read as the GPU would."""

    def __init__(self) -> None:
        self.launched: list[tuple[Any, ...]] = []
        self.empty: list[tuple[Any, ...]] = []

    def call(self, name: str, *arguments: Any) -> Any:
        if name == "cuModuleLoadData":
            assert b".version" in arguments[0]
            assert arguments[0].endswith(b"\0")
        if name == "cuModuleGetFunction":
            return arguments[1].decode()
        if name == "cuLaunchKernel":
            if arguments[0] == "empty":
                self.empty.append(arguments)
                return name
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


def test_a_kernel_gets_its_parameters_as_one_buffer(driver: Driver) -> None:
    geometry = Geometry((48, 64), (48, 64), (48, 64))
    resizing = kernels.Resizing.of("opencv-bilinear", geometry)
    work = kernels.frame_to_tensor(
        4096, 8192, 1, geometry, resizing, reversed_colours=False, mean=MEAN, std=STD
    )
    own.launch("function", work, 7)
    (made,) = driver.launched
    assert made == (
        "function", *work.grid, work.threads, 1, 1, 0, ("stream", 7), work.arguments,
    )  # fmt: skip


def test_our_kernels_find_the_tensors(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    ours = own._OwnKernels(SimpleNamespace(cuda_stream=7), "PyTorch's")
    monkeypatch.setattr(ours, "_buffer", lambda shape, dtype: torch.empty(shape, dtype=dtype))
    run = make_run()
    frame, logits = frame_of(run, (48, 64)), smooth_logits(run, (48, 64), 5)
    floats, labels = ours.preprocess(frame, (48, 64)), ours.labels(logits, (48, 64), (48, 64))
    ours.empty()
    ours.close()
    assert [made[0] for made in driver.launched] == ["frame_tensor", "argmax_half"]
    assert driver.empty == [("empty", 1, 1, 1, 1, 1, 1, 0, ("stream", 7), None, 0)]
    for made, inputs, output in zip(
        driver.launched, (frame, logits), (floats, labels), strict=True
    ):
        addresses = np.frombuffer(made[-1][:16], np.uint64).tolist()
        assert addresses == [inputs.data_ptr(), output.data_ptr()]


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
    monkeypatch: pytest.MonkeyPatch, host_cycles: int, rounds: int | None
) -> None:
    cuda = Cuda(host_cycles)
    scratch = SimpleNamespace(zero_=lambda: cuda.did.append("flush"))
    fake = SimpleNamespace(cuda=cuda, empty=lambda *_, **__: scratch, uint8="uint8")
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]

    def step() -> None:
        cuda.did.append("step")

    if rounds is None:
        with pytest.raises(RuntimeError, match="the step waits for the GPU"):
            timing.gpu_seconds(step, 3, 100)
        return
    assert timing.gpu_seconds(step, 3, 100) == [2e-3] * 3
    assert cuda.did == ["flush", "spin", "event", "step", "event"] * rounds
    assert cuda.spins == sorted(cuda.spins)


def test_each_compilation_is_for_its_own_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    did: list[Any] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: did.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda step, **how: did.append(how))
    steps.compiled(make_run(dry=False), test_each_compilation_is_for_its_own_shape, "mode")
    assert did == ["reset", {"mode": "mode", "dynamic": False}]


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
    times = plans.frame_times(FakeEngine())
    assert times["gpu"] == pytest.approx(5e-3)
    assert times["host"] == times["wall"]["p50"] - times["gpu"]
    assert times["split"]["wall"] == 9e-3


def test_each_form_of_a_network_has_its_section(tmp_path: Path) -> None:
    run = replace(make_run(dry=False), plans=tmp_path, checkpoint=tmp_path / "x.pth", data="scenes")
    for work in (plans.cases, plans.in_eight_bits, plans.trained):
        with pytest.raises(Skipped):
            work(run)
    for name in ("T_1_64x64_base", "T_1_64x64_base.plain", "T_1_64x64_base.fp8", "trained",
                 "trained.int8"):  # fmt: skip
        (tmp_path / f"{name}.plan").write_bytes(b"")
    assert plans.cases(run) == ["T_1_64x64_base"]
    assert plans.in_eight_bits(run) == ["T_1_64x64_base.fp8", "trained.int8"]
    assert plans.trained(run) == ["trained", "trained.int8"]


def test_eight_bits_are_timed_beside_fp16(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def benchmark(paths: list[Path], _: Any) -> Any:
        asked.append([path.name for path in paths])
        if len(asked) > 1:
            raise InputError("FP8 runs on compute capability 8.9 and later")
        return SimpleNamespace(to_json=dict)

    monkeypatch.setattr("edaformer.engines.bench.benchmark.benchmark", benchmark)
    monkeypatch.setattr(plans, "state", dict)
    monkeypatch.setattr(plans, "validity", lambda plan, keep: keep(validity=plan.name))
    for name in ("a.plan", "a.fp8.plan"):
        (tmp_path / name).write_bytes(b"")
    run, kept = replace(make_run(), plans=tmp_path), dict[str, Any]()
    plans.bench_eight_bits(run, "a.fp8", lambda **facts: kept.update(facts))
    assert asked == [["a.plan", "a.fp8.plan"]]
    assert kept == {"record": {}, "state": {}}
    plans.bench_eight_bits(run, "a.fp8", lambda **facts: kept.update(facts))
    assert kept["refused"].startswith("FP8 runs on")
    assert kept["validity"] == "a.fp8.plan"


@pytest.mark.slow
def test_networks_are_prepared_in_eight_bits(
    small_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)
    options = ExportOptions(size=(192, 192), outputs=("logits",))  # 36 keys: FP8 is fused
    prepare._in_eight_bits(
        tmp_path / "a", small_checkpoint, options, prepare._drawn((192, 192)), build
    )
    assert sorted(path.name for path in tmp_path.glob("*.plan")) == ["a.fp8.plan", "a.int8.plan"]
    ampere = replace(build, compute_capabilities=("8.6",))
    prepare._in_eight_bits(
        tmp_path / "b", small_checkpoint, options, prepare._drawn((192, 192)), ampere
    )
    assert not (tmp_path / "b.fp8.plan").exists()
    assert "b.fp8.plan is left out: FP8 runs on compute capability 8.9" in capsys.readouterr().err


# --- what comes of a worker's lines ---------------------------------------------------------------


def lines(monkeypatch: pytest.MonkeyPatch, *processes: list[dict[str, Any]]) -> list[list[str]]:
    """Processes that say these lines and die of SIGABRT; what each was given."""
    given: list[list[str]] = []

    def watch(
        run: Any, section: Any, cases: list[str], place: Any, *, hear: Any, limit: Any
    ) -> Any:
        assert limit() > 0
        for line in processes[len(given)]:
            hear(line)
        given.append(cases)
        return Ended("its process died of SIGABRT", "free(): invalid pointer\n")

    monkeypatch.setattr(record, "watch", watch)
    return given


def of(*cases: str, **more: Any) -> Section:
    return Section("halves", lambda *_: None, 1, lambda _: cases, **more)


def work(section: Section, run: Run | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    written: list[dict[str, Any]] = []
    place = SimpleNamespace()
    made = record.work_section(
        run or make_run(),
        section,
        place,
        lambda told: written.append({**told}),  # type: ignore[arg-type]
    )
    return made, written


def test_a_case_that_kills_its_process_keeps_what_it_had_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = lines(
        monkeypatch,
        [{"begin": "one"}, {"end": "done"}, {"begin": "two"}, {"facts": {"half": 1}}],
        [{"begin": "three"}, {"facts": {"half": 2}}, {"end": "done"}],
    )
    made, written = work(of("one", "two", "three", together=True))
    assert given == [["one", "two", "three"], ["three"]]
    assert made["status"] == "partly"
    assert made["cases"] == [{"case": "one"}, {"case": "three", "half": 2}]
    assert made["missing"] == [{
        "case": "two", "half": 1, "said": ["free(): invalid pointer"],
        "failed": "its process died of SIGABRT; it said last: free(): invalid pointer",
    }]  # fmt: skip
    assert {told["status"] for told in written[:-1]} == {"unfinished"}


def test_a_process_that_never_begins_fails_its_first_case(monkeypatch: pytest.MonkeyPatch) -> None:
    lines(monkeypatch, [], [])
    made, _ = work(of("one", "two", together=True))
    assert made["status"] == "failed"
    assert [entry["case"] for entry in made["missing"]] == ["one", "two"]


def test_what_was_skipped_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    lines(monkeypatch, [{"begin": "one"}, {"end": "skipped", "reason": "no torch"}])
    made, _ = work(of("one"))
    assert (made["status"], made["reason"]) == ("skipped", "one: no torch")
    assert list(record.failures({"sections": {"halves": made}})) == []


def test_a_case_without_its_reserve_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    given = lines(monkeypatch)
    made, _ = work(of("one", "two", reserve=60), make_run(seconds=30, dry=False))
    assert given == []
    assert made["status"] == "skipped"
    assert "s were left, and it may take 60 s" in made["missing"][1]["skipped"]


def test_second_times_come_after_all_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    done = [[{"begin": name}, {"end": "done"}] for name in ("a", "b", "a, again", "b, again")]
    given = lines(monkeypatch, *done)
    work(of("a", "b", twice=True))
    assert given == [["a"], ["b"], ["a, again"], ["b, again"]]


def test_the_order_of_networks_is_that_of_their_weight() -> None:
    names = frames.cases(make_run(dry=False))
    assert names[:4] == ["T_150_512x512_base", "T_150_512x512_paper", "T_19_1024x2048_base",
                         "T_19_1024x2048_paper"]  # fmt: skip
    assert all(name.startswith("B") for name in names[4:])
    assert [section.name for section in SECTIONS][-1] == "agreement"
    assert alone("x")(make_run()) == ("x",)


# --- answers read -------------------------------------------------------------------------------


class Validity(Enum):
    INVALID = 2


class Diagnostics(Enum):
    UNSUPPORTED_CC = 2


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (0, []),
        (1, ["made by another version"]),
        (Diagnostics.UNSUPPORTED_CC, ["compute capability not supported"]),
        (4 + 8, ["CUDA driver too old", "CUDA runtime too old"]),
        (16 + 32 + 64, ["not enough GPU memory", "malformed engine", "CUDA error"]),
        (2 + 256, ["compute capability not supported", "unknown bits 0x100"]),
    ],
)
def test_validity_is_told_in_words(mask: Any, words: list[str]) -> None:
    told = probe.decode((Validity.INVALID, mask))
    assert (told["validity"], told["diagnostics"]) == ("INVALID", words)


def test_the_bits_are_tensorrt_s_own() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    known = {int(member.value) for member in trt.EngineInvalidityDiagnostics.__members__.values()}
    assert known == {1, 2, 4, 8, 16, 32, 64}


def test_what_tensorrt_said_is_kept_where_it_raises() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    kept: dict[str, Any] = {}
    logger = probe._logger(trt, kept.update)
    logger.log(trt.ILogger.ERROR, "Target GPU SM 90 is not supported")
    assert kept == {"log": ["ERROR: Target GPU SM 90 is not supported"]}


def test_nvidia_smi_is_read() -> None:
    told = state.parse(["1980", "2619", "350.12", "41", "0x0000000000000024"])
    assert told["throttling"] == ["power cap", "thermal, software"]
    assert (told["gpu_mhz"], told["power"]) == (1980, 350.12)
    assert state.parse(["1980", "[N/A]", "[N/A]", "41", "[N/A]"])["throttling"] is None


def test_a_tuned_frame_makes_the_same_labels() -> None:
    torch = pytest.importorskip("torch")
    run, shape = make_run(), ("T", 5, (64, 96), "base")
    plain, tuned = frames._network(run, *shape), frames.tune(frames._network(run, *shape))
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert (plain(image) != tuned(image)).float().mean() < 1e-3
        found = frames.attention_kernels(run, lambda: tuned(image))
    assert isinstance(found, dict)
    assert found["aten::scaled_dot_product_attention"] == frames._attentions(tuned) == 22
