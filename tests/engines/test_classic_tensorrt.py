"""Classic TensorRT, 10.3 and 11.1: build, load and execute, on stand-ins with exactly their API.

A stand-in is a module object, so a version lives for one test: sys.modules and the backend's choice
are put back afterwards. Polygraphy keeps much more (its choice of TensorRT, a logger class, its
CUDA wrapper), so it is imported anew for each test that executes, and its old modules come back.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edaformer.engines.artifact.plan import read_plan, sidecar_path
from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.plan import PlanSegmenter
from edaformer.errors import (
    EXIT_GATE,
    BuildError,
    EdaformerError,
    GateError,
    InputError,
    MissingError,
)
from edaformer.export.exporter import ExportOptions, ExportResult, export_model
from edaformer.export.runtime import OnnxSession
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint, Coverage
from edaformer.families.edaformer.loader import network
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.files import sha256
from edaformer.machine import backend
from edaformer.manifest import Bounds, find_in_plan, network_name
from tests.standins.api import VERSIONS
from tests.standins.tensorrt import VERSION_BYTES, HostCuda, make_standin, plan_facts
from tests.tiny import TINY, tiny_model

SIZE = (60, 90)
CLASSIC = BuildOptions(backend="tensorrt")
Install = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _tiny_is_known() -> Iterator[None]:
    """The proof names the attention blocks of a manifest's variant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, TINY.name, TINY)
        yield


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes ``import tensorrt`` a stand-in, on a machine that has a GPU."""

    def put(version: Any, **options: Any) -> Any:
        module = make_standin(version, **options)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        monkeypatch.setattr(backend._Chosen, "module", None)
        monkeypatch.setattr(backend, "gpu_visible", lambda: True)
        return module

    return put


@pytest.fixture
def trt(install: Install, version: Any) -> Any:
    return install(version)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostCuda]:
    """Polygraphy as if never imported, on host memory."""
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "0")
    before = _take_out_polygraphy()
    host = HostCuda()
    vars(importlib.import_module("polygraphy.cuda.cuda"))["G_CUDA"] = host
    yield host
    _take_out_polygraphy()
    sys.modules.update(before)


def _take_out_polygraphy() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "polygraphy"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture(scope="module")
def dynamic_export(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The tiny model with a dynamic batch."""
    model = tiny_model("8,4,2,1-1,2,4")
    checkpoint = Checkpoint(
        path=Path("tiny"),
        sha256="0" * 64,
        variant=TINY,
        num_classes=5,
        network=network,
        coverage=Coverage(used=len(model.state_dict()), left_over=()),
        state=model.state_dict(),
    )
    path = tmp_path_factory.mktemp("dynamic") / "d.onnx"
    return export_model(checkpoint, ExportOptions(size=SIZE, batch=None), path)


@pytest.fixture
def plan(trt: Any, small_export: ExportResult, tmp_path: Path) -> BuildResult:
    return build_engine(small_export.path, tmp_path / "model.plan", CLASSIC)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return natural_noise(3, SIZE)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def one_sentence(error: EdaformerError) -> str:
    text = str(error)
    assert "\n" not in text
    assert not text.endswith(".")
    return text


class TestBackend:
    def test_use(self, trt: Any, version: Any) -> None:
        chosen = backend.use("tensorrt")
        assert chosen.flavour == "tensorrt"
        assert chosen.version == trt.__version__
        assert chosen.compute_capabilities == ()
        assert chosen.times_kernels
        assert backend.trt.Builder is trt.Builder

    def test_auto_follows_the_gpu(self, trt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert backend.use("auto").flavour == "tensorrt"
        monkeypatch.setattr(backend, "gpu_visible", lambda: False)
        assert backend.use("auto").flavour == "tensorrt-rtx"


class TestBuild:
    def test_the_plan_reads_back(
        self, plan: BuildResult, small_export: ExportResult, version: Any
    ) -> None:
        read = read_plan(plan.path)
        record = plan.manifest.engine
        assert record is not None
        assert read.flavour == record.flavour == "tensorrt"
        assert read.version == record.version == ".".join(map(str, VERSION_BYTES[version]))
        assert read.has_sidecar
        assert read.manifest == plan.manifest
        assert read.sha256 == plan.sha256 == record.plan_sha256
        assert plan.manifest.onnx_sha256 == sha256(small_export.path)
        assert record.compute_capabilities == ()

    def test_the_manifest_is_inside(self, plan: BuildResult) -> None:
        embedded = find_in_plan(plan.path.read_bytes(), "plan")
        assert embedded is not None
        assert embedded.input == plan.manifest.input
        assert embedded.onnx_sha256 == plan.manifest.onnx_sha256
        assert plan_facts(plan.path.read_bytes()).name == network_name(plan.manifest)

    def test_it_is_strongly_typed_and_not_tf32(self, plan: BuildResult, trt: Any) -> None:
        facts = plan_facts(plan.path.read_bytes())
        assert facts.strongly_typed
        assert not facts.flags >> int(trt.BuilderFlag.TF32) & 1
        assert facts.verbosity == "DETAILED"
        record = plan.manifest.engine
        assert record is not None
        assert record.flags == ("STRONGLY_TYPED", "PROFILING_DETAILED", "NO_TF32")

    def test_workspace(self, trt: Any, small_export: ExportResult, tmp_path: Path) -> None:
        options = BuildOptions(backend="tensorrt", workspace=0.5)
        built = build_engine(small_export.path, tmp_path / "x.plan", options)
        assert plan_facts(built.path.read_bytes()).workspace == 1 << 29
        assert built.manifest.engine is not None
        assert built.manifest.engine.workspace_bytes == 1 << 29

    def test_the_builder_s_reason_is_given(
        self, trt: Any, small_export: ExportResult, tmp_path: Path
    ) -> None:
        options = BuildOptions(backend="tensorrt", workspace=1e-6)
        with pytest.raises(BuildError, match="no tactics to implement") as caught:
            build_engine(small_export.path, tmp_path / "x.plan", options)
        assert caught.value.exit_code == EXIT_GATE
        assert files(tmp_path) == set()

    def test_the_parser_s_reason_names_the_node(
        self, trt: Any, small_export: ExportResult, tmp_path: Path
    ) -> None:
        model = onnx.load(small_export.path)
        old = model.graph.output[0].name
        model.graph.node.append(
            helper.make_node("NotATensorRTOp", [old], ["odd"], name="head/odd", domain="my.ops")
        )
        model.graph.output[0].name = "odd"
        model.opset_import.append(helper.make_opsetid("my.ops", 1))
        onnx.save(model, tmp_path / "odd.onnx")
        with pytest.raises(BuildError, match=r"head/odd: .*Plugin not found") as caught:
            build_engine(tmp_path / "odd.onnx", tmp_path / "x.plan", CLASSIC)
        assert caught.value.exit_code == EXIT_GATE
        assert files(tmp_path) == {"odd.onnx"}

    def test_compute_capability_is_refused(
        self, trt: Any, small_export: ExportResult, tmp_path: Path
    ) -> None:
        options = BuildOptions(backend="tensorrt", compute_capabilities=("8.7",))
        with pytest.raises(InputError, match="--backend tensorrt-rtx") as caught:
            build_engine(small_export.path, tmp_path / "x.plan", options)
        assert "--compute-capability has no effect on tensorrt" in one_sentence(caught.value)

    def test_progress(self, trt: Any, small_export: ExportResult, tmp_path: Path) -> None:
        events: list[tuple[str, int, int]] = []
        build_engine(
            small_export.path,
            tmp_path / "x.plan",
            CLASSIC,
            on_progress=lambda *event: events.append(event),
        )
        phase = events[0][0]
        assert events[0] == (phase, 0, events[0][2])
        assert events[-1] == (phase, events[0][2], events[0][2])
        assert len({name for name, _, _ in events}) > 2
        assert all(0 <= done <= total for _, done, total in events)

    def test_ctrl_c_leaves_nothing(
        self, trt: Any, small_export: ExportResult, tmp_path: Path
    ) -> None:
        def interrupt(phase: str, done: int, total: int) -> None:
            if done == 1:
                signal.raise_signal(signal.SIGINT)

        handler = signal.getsignal(signal.SIGINT)
        options = BuildOptions(backend="tensorrt", timing_cache=tmp_path / "timing.cache")
        with pytest.raises(KeyboardInterrupt):
            build_engine(small_export.path, tmp_path / "x.plan", options, on_progress=interrupt)
        assert files(tmp_path) == set()
        assert signal.getsignal(signal.SIGINT) == handler
        assert trt._record.timed == []


class TestTimingCache:
    @pytest.fixture
    def options(self, tmp_path: Path) -> BuildOptions:
        return BuildOptions(backend="tensorrt", timing_cache=tmp_path / "timing.cache")

    @pytest.fixture
    def build(
        self, small_export: ExportResult, tmp_path: Path, options: BuildOptions
    ) -> Callable[[], BuildResult]:
        return lambda: build_engine(small_export.path, tmp_path / "x.plan", options)

    def test_made_and_reused(
        self, trt: Any, build: Callable[[], BuildResult], options: BuildOptions
    ) -> None:
        assert options.timing_cache is not None
        build()
        first = options.timing_cache.read_bytes()
        build()
        timed, again = trt._record.timed
        assert timed > 5
        assert again == 0
        assert options.timing_cache.read_bytes() == first

    def test_of_another_gpu(
        self, install: Install, version: Any, build: Callable[[], BuildResult], tmp_path: Path
    ) -> None:
        install(version, device="another GPU")
        build()
        self._refused(install, version, build, tmp_path)

    def test_damaged(
        self, install: Install, version: Any, build: Callable[[], BuildResult], tmp_path: Path
    ) -> None:
        (tmp_path / "timing.cache").write_bytes(b"not a timing cache")
        self._refused(install, version, build, tmp_path)

    def test_of_another_version(
        self, install: Install, build: Callable[[], BuildResult], tmp_path: Path
    ) -> None:
        install("10.3")
        build()
        self._refused(install, "11.1", build, tmp_path)

    def test_an_empty_one_is_taken(
        self, trt: Any, build: Callable[[], BuildResult], tmp_path: Path
    ) -> None:
        config = trt.Builder(trt.Logger()).create_builder_config()
        empty = bytes(config.create_timing_cache(b"").serialize())
        (tmp_path / "timing.cache").write_bytes(empty)
        build()
        assert (tmp_path / "timing.cache").read_bytes() != empty

    @staticmethod
    def _refused(
        install: Install, version: Any, build: Callable[[], BuildResult], folder: Path
    ) -> None:
        """Refused before any work, and kept: it may be another machine's good one."""
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        trt = install(version)
        with pytest.raises(InputError, match=r"timing\.cache is another") as caught:
            build()
        one_sentence(caught.value)
        assert trt._record.timed == []
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


class TestExecute:
    def test_labels_are_onnx_runtime_s(
        self,
        trt: Any,
        cuda: HostCuda,
        plan: BuildResult,
        small_export: ExportResult,
        images: np.ndarray,
    ) -> None:
        session = OnnxSession(str(small_export.path))
        expected = np.concatenate(
            [session.run({"image": image[None]})["labels"] for image in images]
        )
        segmenter = open_artifact(plan.path)
        assert isinstance(segmenter, PlanSegmenter)
        assert segmenter.description == f"tensorrt {trt.__version__} fp16"
        labels = segmenter.segment(images)
        np.testing.assert_array_equal(labels, expected)
        assert len(np.unique(expected)) > 1
        assert trt._record.executed == 3
        segmenter.close()

    def test_outputs_are_copies(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, images: np.ndarray
    ) -> None:
        segmenter = PlanSegmenter(plan.path)
        first = segmenter.infer(images[:1])
        kept = {name: value.copy() for name, value in first.items()}
        segmenter.infer(images[1:2])
        for name, value in first.items():
            np.testing.assert_array_equal(value, kept[name])
        assert first["logits"].shape == (1, 5, 8, 12)
        segmenter.close()

    def test_device_memory_is_given_back(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, images: np.ndarray
    ) -> None:
        segmenter = PlanSegmenter(plan.path)
        segmenter.segment(images[:1])
        assert cuda.copied == images[:1].nbytes + 60 * 90 + 5 * 8 * 12 * 4
        segmenter.close()
        assert not cuda.streams

    def test_dynamic_batch(
        self,
        trt: Any,
        cuda: HostCuda,
        dynamic_export: ExportResult,
        images: np.ndarray,
        tmp_path: Path,
    ) -> None:
        options = BuildOptions(backend="tensorrt", batches=(1, 2, 3))
        built = build_engine(dynamic_export.path, tmp_path / "d.plan", options)
        assert built.record.bounds == Bounds(least=(1, *SIZE), best=(2, *SIZE), most=(3, *SIZE))
        (profile,) = plan_facts(built.path.read_bytes()).profiles
        assert profile == {"image": [[batch, *SIZE, 3] for batch in (1, 2, 3)]}
        segmenter = PlanSegmenter(built.path)
        session = OnnxSession(str(dynamic_export.path))
        for count in (1, 3, 2):
            expected = session.run({"image": images[:count]})["labels"]
            np.testing.assert_array_equal(segmenter.segment(images[:count]), expected)
        segmenter.close()

    def test_too_large_a_batch(
        self, trt: Any, cuda: HostCuda, dynamic_export: ExportResult, tmp_path: Path
    ) -> None:
        options = BuildOptions(backend="tensorrt", batches=(1, 1, 2))
        built = build_engine(dynamic_export.path, tmp_path / "d.plan", options)
        segmenter = PlanSegmenter(built.path)
        with pytest.raises(InputError) as caught:
            segmenter.segment(np.zeros((3, *SIZE, 3), np.uint8))
        one_sentence(caught.value)
        segmenter.close()


class TestRefusedPlans:
    def refusal(self, path: Path, kind: type[EdaformerError] = InputError) -> str:
        with pytest.raises(kind) as caught:
            PlanSegmenter(path)
        return one_sentence(caught.value)

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda data: data[:-100] + bytes(100), "cursor < blobSize"),
            (lambda data: data[:-100], "header.size == blobSize"),
        ],
        ids=["overwritten", "cut short"],
    )
    def test_damaged(
        self,
        cuda: HostCuda,
        plan: BuildResult,
        damage: Callable[[bytes], bytes],
        reason: str,
    ) -> None:
        plan.path.write_bytes(damage(plan.path.read_bytes()))
        sidecar_path(plan.path).unlink()
        text = self.refusal(plan.path)
        assert str(plan.path) in text
        assert reason in text
        assert "build it again" in text

    def test_of_another_version(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, install: Install, version: Any
    ) -> None:
        (other,) = set(VERSIONS) - {version}
        install(other)
        text = self.refusal(plan.path)
        built, here = (".".join(map(str, VERSION_BYTES[v])) for v in (version, other))
        assert built in text
        assert here in text

    def test_of_the_other_flavour(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A TensorRT-RTX plan on a Jetson, which has no TensorRT-RTX."""
        plan.path.write_bytes(b"vtrt" + plan.path.read_bytes()[4:])
        sidecar_path(plan.path).unlink()
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
        assert "tensorrt-rtx is not installed here" in self.refusal(plan.path, MissingError)

    def test_polygraphy_serves_one_flavour_a_process(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _take_out_polygraphy()
        monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
        importlib.import_module("polygraphy.config")
        assert "in another one" in self.refusal(plan.path)

    def test_no_cuda_runtime(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object) -> None:
            raise OSError("libcudart.so: cannot open shared object file")

        module = importlib.import_module("polygraphy.cuda.cuda")
        monkeypatch.setattr(module, "G_CUDA", None)
        monkeypatch.setattr(module, "Cuda", missing)
        assert "libcudart.so" in self.refusal(plan.path, MissingError)

    def test_warnings_do_not_reach_stdout(
        self, trt: Any, cuda: HostCuda, plan: BuildResult, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is for data, and Polygraphy prints there unless told otherwise."""
        segmenter = PlanSegmenter(plan.path)
        importlib.import_module("polygraphy.logger").G_LOGGER.warning("from Polygraphy")
        segmenter.close()
        assert capsys.readouterr().out == ""

    def test_segmenters_share_a_contract(self, trt: Any, cuda: HostCuda, plan: BuildResult) -> None:
        segmenter = open_artifact(plan.path)
        assert isinstance(segmenter, ArtifactSegmenter)
        with pytest.raises(InputError, match="images are 32x64 and the artifact takes 60x90"):
            segmenter.segment(np.zeros((1, 32, 64, 3), np.uint8))
        segmenter.close()


def test_nothing_leaks() -> None:
    """After all of the above, which leaves the backend to choose anew."""
    assert not hasattr(sys.modules.get("tensorrt"), "_record")
    assert not hasattr(backend._Chosen.module, "_record")
    assert backend.use("tensorrt-rtx").compute_capabilities


class TestProof:
    def test_it_comes_from_the_engine_inspector(self, plan: BuildResult) -> None:
        proof = plan.record.proof
        assert proof is not None
        assert proof.source == "engine inspector"
        assert proof.attention_unfused == ()
        kinds = {kernel.kind for kernel in proof.kernels}
        assert kinds >= {"attention", "convolution", "matmul"}
        assert {kind for kernel in proof.kernels for kind in kernel.types} >= {"Half", "UInt8"}

    def test_unfused_attention_is_no_engine(
        self, install: Install, version: Any, small_export: ExportResult, tmp_path: Path
    ) -> None:
        install(version, fuses=False)
        with pytest.raises(GateError, match=r"not fused in encoder\.stage1\.blocks\.0\.attention"):
            build_engine(small_export.path, tmp_path / "x.plan", CLASSIC)
        assert files(tmp_path) == set()
