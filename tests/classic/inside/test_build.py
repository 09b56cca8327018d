"""The build path of classic TensorRT under NVIDIA's bindings: options, refusals, proof, cache."""

from __future__ import annotations

import importlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.artifact.plan import read_header, read_plan
from edaformer.engines.build import compiler
from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.errors import (
    EXIT_GATE,
    BuildError,
    EdaformerError,
    GateError,
    InputError,
    MissingError,
)
from edaformer.export.exporter import ExportResult
from edaformer.files import sha256
from edaformer.machine import backend
from edaformer.manifest import Bounds, find_in_plan, network_name
from tests import classic
from tests.classic.inside.conftest import CLASSIC, SMALL
from tests.classic.releases import VERSIONS
from tests.standins.network import Kind, make_manifest, make_model, write_small_onnx

VERSION = ".".join(map(str, VERSIONS[classic.running() or "10.3.0"]))


def one_sentence(error: EdaformerError) -> str:
    text = str(error)
    assert "\n" not in text
    assert not text.endswith(".")
    return text


class TestBackend:
    def test_use(self, trt: Any) -> None:
        chosen = backend.use("tensorrt")
        assert (chosen.flavour, chosen.version) == ("tensorrt", trt.__version__)
        assert VERSION.startswith(chosen.version)
        assert chosen.compute_capabilities == ()
        assert chosen.times_kernels
        assert backend.trt.Builder is trt.Builder

    def test_auto_follows_the_gpu(self, trt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert backend.use("auto").flavour == "tensorrt"
        monkeypatch.setattr(backend, "gpu_visible", lambda: False)
        assert backend.use("auto").flavour == "tensorrt-rtx"


class TestBuild:
    def test_the_plan_reads_back(self, built: BuildResult, small_export: ExportResult) -> None:
        read, record = read_plan(built.path), built.record
        assert read.flavour == record.flavour == "tensorrt"
        assert read.version == record.version == VERSION
        assert read.manifest == built.manifest
        assert read.sha256 == record.plan_sha256
        assert built.manifest.onnx_sha256 == sha256(small_export.path)
        assert record.compute_capabilities == ()
        embedded = find_in_plan(built.path.read_bytes(), "plan")
        assert embedded is not None
        assert embedded.onnx_sha256 == built.manifest.onnx_sha256

    def test_flags(self, built: BuildResult) -> None:
        flags = ("STRONGLY_TYPED", "PROFILING_DETAILED", "NO_TF32", "ALLOW_UNFUSED")
        assert built.record.flags == flags

    def test_workspace(self, trt: Any, small: Path, tmp_path: Path) -> None:
        options = BuildOptions(backend="tensorrt", workspace=0.5)
        assert build_engine(small, tmp_path / "x.plan", options).record.workspace_bytes == 1 << 29

    def test_the_builder_s_reason_is_given(
        self, trt: Any, tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without the profile that a dynamic input needs."""
        write_small_onnx(Kind(batch=None), tmp_path / "d.onnx")
        monkeypatch.setattr(compiler, "_add_profile", lambda *_: None)
        options = BuildOptions(backend="tensorrt", batches=(1, 2, 3))
        with pytest.raises(BuildError, match="no optimization profile has been defined") as caught:
            build_engine(tmp_path / "d.onnx", tmp_path / "x.plan", options)
        assert caught.value.exit_code == EXIT_GATE
        one_sentence(caught.value)
        assert files() == {"d.onnx"}

    def test_the_parser_s_reason_names_the_node(
        self, trt: Any, small: Path, tmp_path: Path, files: Callable[[], set[str]]
    ) -> None:
        model = onnx.load(small)
        maker = next(node for node in model.graph.node if "logits" in node.output)
        maker.output[list(maker.output).index("logits")] = "plain"
        model.graph.node.append(
            helper.make_node("NoSuchOp", ["plain"], ["logits"], name="head/odd", domain="my.ops")
        )
        model.opset_import.append(helper.make_opsetid("my.ops", 1))
        onnx.save(model, tmp_path / "odd.onnx")
        with pytest.raises(BuildError, match=r"head/odd: .*Plugin not found") as caught:
            build_engine(tmp_path / "odd.onnx", tmp_path / "x.plan", CLASSIC)
        assert caught.value.exit_code == EXIT_GATE
        assert files() == {"small.onnx", "odd.onnx"}

    def test_a_profile_of_the_wrong_rank(
        self, trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a wrong layout in the manifest would come to."""
        write_small_onnx(Kind(batch=None), tmp_path / "d.onnx")
        real = trt.IOptimizationProfile.set_shape
        monkeypatch.setattr(
            trt.IOptimizationProfile,
            "set_shape",
            lambda self, name, *shapes: real(self, name, *(shape[1:] for shape in shapes)),
        )
        options = BuildOptions(backend="tensorrt", batches=(1, 2, 3))
        with pytest.raises(BuildError, match="has 4 dimensions but profile 0 has 3"):
            build_engine(tmp_path / "d.onnx", tmp_path / "x.plan", options)

    def test_bounds(self, trt: Any, tmp_path: Path, glue: Any) -> None:
        write_small_onnx(Kind(batch=None), tmp_path / "d.onnx")
        options = BuildOptions(backend="tensorrt", batches=(1, 2, 3))
        made = build_engine(tmp_path / "d.onnx", tmp_path / "d.plan", options)
        size = SMALL.size
        assert made.record.bounds == Bounds(least=(1, *size), best=(2, *size), most=(3, *size))
        runtime = trt.Runtime(backend.make_logger())
        engine = runtime.deserialize_cuda_engine(made.path.read_bytes())
        shapes = [tuple(shape) for shape in engine.get_tensor_profile_shape("image", 0)]
        assert shapes == [(batch, *size, 3) for batch in (1, 2, 3)]

    def test_compute_capability_is_refused(self, trt: Any, small: Path, tmp_path: Path) -> None:
        options = BuildOptions(backend="tensorrt", compute_capabilities=("8.7",))
        with pytest.raises(InputError, match="--backend tensorrt-rtx") as caught:
            build_engine(small, tmp_path / "x.plan", options)
        assert "--compute-capability has no effect on tensorrt" in one_sentence(caught.value)

    def test_progress(self, trt: Any, small: Path, tmp_path: Path) -> None:
        events: list[tuple[str, int, int]] = []
        build_engine(
            small, tmp_path / "x.plan", CLASSIC, on_progress=lambda *event: events.append(event)
        )
        phase = events[0][0]
        assert events[0] == (phase, 0, events[0][2])
        assert len({name for name, _, _ in events}) > 2
        assert all(0 <= done <= total for _, done, total in events)

    def test_ctrl_c_leaves_nothing(
        self, trt: Any, small: Path, tmp_path: Path, files: Callable[[], set[str]]
    ) -> None:
        def interrupt(phase: str, done: int, total: int) -> None:
            if done == 1:
                signal.raise_signal(signal.SIGINT)

        handler = signal.getsignal(signal.SIGINT)
        options = BuildOptions(backend="tensorrt", timing_cache=tmp_path / "timing.cache")
        with pytest.raises(KeyboardInterrupt):
            build_engine(small, tmp_path / "x.plan", options, on_progress=interrupt)
        assert files() == {"small.onnx"}
        assert signal.getsignal(signal.SIGINT) == handler

    def test_an_exception_in_the_monitor_is_raised_again(
        self, trt: Any, small: Path, tmp_path: Path, files: Callable[[], set[str]]
    ) -> None:
        def broken(phase: str, done: int, total: int) -> None:
            raise ValueError("no terminal")

        with pytest.raises(ValueError, match="no terminal"):
            build_engine(small, tmp_path / "x.plan", CLASSIC, on_progress=broken)
        assert files() == {"small.onnx"}

    def test_packed_for_triton(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The plan is nowhere but in the folder, and is packed again as it is."""
        monkeypatch.chdir(tmp_path)

        def run(*arguments: object) -> Any:
            return CliRunner().invoke(app, ["build", *map(str, arguments), "--target", "triton"])

        ran = run(small, "-o", "street")
        assert ran.exit_code == 0, ran.stderr
        assert "street/1/model.plan\n  backend" in ran.stdout
        assert "alone: trtexec --loadEngine=street/1/model.plan" in ran.stderr
        made = sorted(p.name for p in (tmp_path / "street").rglob("*") if p.is_file())
        assert made[:3] == ["config.pbtxt", "labels.txt", "model.plan"]
        again = run("street/1/model.plan", "-o", "street2")
        assert again.exit_code == 0, again.stderr
        options = run("street/1/model.plan", "-o", "x", "--workspace", "1")
        assert (options.exit_code, "packed as it is" in options.stderr) == (2, True)


class TestNoDriver:
    def test_the_library_s_reason_in_one_sentence(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDAFORMER_CLASSIC_DRIVER", "none")
        with pytest.raises(TypeError, match="nullptr"):  # what NVIDIA's bindings make of it
            trt.Builder(trt.Logger())
        with pytest.raises(MissingError, match=r"createInferBuilder: .*error: 35") as caught:
            build_engine(small, tmp_path / "x.plan", CLASSIC)
        assert caught.value.exit_code == 3
        assert "update the driver" in one_sentence(caught.value)

    @pytest.mark.parametrize("who", ["proof", "network", "segmenter"])
    def test_loading(
        self, trt: Any, cuda: Any, plan: Path, monkeypatch: pytest.MonkeyPatch, who: str
    ) -> None:
        from edaformer.engines.runtime.network import Network
        from edaformer.engines.segmenters.plan import PlanSegmenter

        read = read_plan(plan)
        chosen = backend.use("tensorrt")
        monkeypatch.setenv("EDAFORMER_CLASSIC_DRIVER", "none")
        load: dict[str, Callable[[], object]] = {
            "proof": lambda: compiler._prove(
                plan.read_bytes(), backend.make_logger(), chosen, read.known_manifest()
            ),
            "network": lambda: Network(read, None, runtime_cache=False),  # type: ignore[arg-type]
            "segmenter": lambda: PlanSegmenter(plan),
        }
        with pytest.raises(MissingError, match=r"createInferRuntime: .*error: 35") as caught:
            load[who]()
        one_sentence(caught.value)


class TestTimingCache:
    @pytest.fixture
    def options(self, tmp_path: Path) -> BuildOptions:
        return BuildOptions(backend="tensorrt", timing_cache=tmp_path / "timing.cache")

    def test_made_and_taken_again(
        self, trt: Any, small: Path, tmp_path: Path, options: BuildOptions
    ) -> None:
        assert options.timing_cache is not None
        build_engine(small, tmp_path / "x.plan", options)
        assert options.timing_cache.stat().st_size > 0
        build_engine(small, tmp_path / "x.plan", options)

    def test_a_damaged_one_is_refused_and_kept(
        self, trt: Any, small: Path, tmp_path: Path, options: BuildOptions, files: Any
    ) -> None:
        (tmp_path / "timing.cache").write_bytes(b"not a timing cache")
        with pytest.raises(InputError, match=r"timing\.cache is another") as caught:
            build_engine(small, tmp_path / "x.plan", options)
        one_sentence(caught.value)
        assert (tmp_path / "timing.cache").read_bytes() == b"not a timing cache"
        assert files() == {"small.onnx", "timing.cache"}

    def test_an_empty_one_is_taken(
        self, trt: Any, small: Path, tmp_path: Path, options: BuildOptions
    ) -> None:
        config = trt.Builder(logger := trt.Logger()).create_builder_config()
        (tmp_path / "timing.cache").write_bytes(bytes(config.create_timing_cache(b"").serialize()))
        build_engine(small, tmp_path / "x.plan", options)
        assert logger is not None


class TestProof:
    def test_the_inspector_says_what_rtx_s_log_says(
        self, built: BuildResult, small_plan: BuildResult
    ) -> None:
        """Of one network by one builder: under another flag, hence the share."""
        ours, theirs = built.record.proof, small_plan.record.proof
        assert ours is not None
        assert theirs is not None
        assert (ours.source, theirs.source) == ("engine inspector", "builder log")
        assert ours.attention_unfused == theirs.attention_unfused
        kernels = [{(k.name, k.types, k.nodes, k.kind) for k in p.kernels} for p in (ours, theirs)]
        assert len(ours.kernels) > 50
        assert len(kernels[0] & kernels[1]) > 0.9 * len(kernels[1])

    def test_unfused_attention_is_no_engine(
        self, trt: Any, small_export: ExportResult, tmp_path: Path, files: Any
    ) -> None:
        with pytest.raises(GateError, match=r"not fused in .*attention"):
            build_engine(small_export.path, tmp_path / "x.plan", CLASSIC)
        assert files() == set()

    @pytest.mark.parametrize(
        "layers", [["conv", "attention"], [{"Name": "{ForeignNode[a...b]}", "LayerType": "Myelin"}]]
    )
    def test_what_is_not_shown_is_not_unfused(
        self, trt: Any, small: Path, tmp_path: Path, glue: Any, layers: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(glue, "shown", layers)
        record = build_engine(small, tmp_path / "x.plan", CLASSIC).record
        assert record.proof is not None
        assert record.proof.attention_unfused is None


def test_the_plan_is_what_tensorrt_rtx_s_own_bindings_make(trt: Any) -> None:
    """With the same options, but for tag and version: all calls have reached the builder."""
    model = make_model(SMALL).SerializeToString()
    name = network_name(make_manifest(SMALL))
    rtx = importlib.import_module("tensorrt_rtx")
    plans = [_plan_by(module, model, name) for module in (trt, rtx)]
    ours, theirs = (np.frombuffer(plan, np.uint8) for plan in plans)
    assert ours.shape == theirs.shape
    assert set(np.flatnonzero(ours != theirs)) <= {*range(4), *range(24, 28)}
    assert read_header(plans[0], "plan") == ("tensorrt", VERSION)


def _plan_by(trt: Any, model: bytes, name: str) -> bytes:
    backend._Chosen.module = trt
    logger = backend.make_logger()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model)
    network.name = name
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    config.builder_optimization_level = 4
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 28)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, logger.errors
    return bytes(plan)


def test_one_process_builds_by_both(trt: Any, small: Path, tmp_path: Path) -> None:
    for number, flavour in enumerate(("tensorrt", "tensorrt-rtx", "tensorrt")):
        path = tmp_path / f"{number}.plan"
        made = build_engine(small, path, BuildOptions(backend=flavour))
        assert (
            made.record.flavour
            == json.loads(made.manifest.to_json())["engine"]["flavour"]
            == flavour
        )
