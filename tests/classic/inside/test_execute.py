"""Loading and executing by NVIDIA's bindings, through Polygraphy: labels, refusals, lifetimes."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaformer.engines.artifact.plan import sidecar_path
from edaformer.engines.bench.profile import _make_profiler
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.plan import PlanSegmenter
from edaformer.errors import EdaformerError, InputError, MissingError
from edaformer.export.exporter import ExportResult
from edaformer.export.runtime import OnnxSession
from edaformer.machine import backend
from tests import classic
from tests.classic.inside.conftest import CLASSIC, take_out_polygraphy
from tests.classic.releases import VERSIONS
from tests.standins.cuda import HostCuda
from tests.standins.network import Kind, write_small_onnx


class TestExecute:
    def test_labels_are_onnx_runtime_s(
        self, trt: Any, cuda: HostCuda, glue: Any, plan: Path, small_export: ExportResult,
        images: np.ndarray, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(glue, "executions", [])
        session = OnnxSession(str(small_export.path))
        expected = np.concatenate([session.run({"image": i[None]})["labels"] for i in images])
        segmenter = open_artifact(plan)
        assert isinstance(segmenter, PlanSegmenter)
        assert segmenter.description == f"tensorrt {trt.__version__} fp16"
        np.testing.assert_array_equal(segmenter.segment(images), expected)
        assert len(np.unique(expected)) > 1
        assert len(glue.executions) == 3
        segmenter.close()

    def test_outputs_are_copies(
        self, trt: Any, cuda: HostCuda, plan: Path, images: np.ndarray
    ) -> None:
        segmenter = PlanSegmenter(plan)
        first = segmenter.infer(images[:1])
        kept = {name: value.copy() for name, value in first.items()}
        segmenter.infer(images[1:2])
        for name, value in first.items():
            np.testing.assert_array_equal(value, kept[name])
        assert first["logits"].shape == (1, 5, 8, 12)
        segmenter.close()

    def test_device_memory_is_given_back(
        self, trt: Any, cuda: HostCuda, plan: Path, images: np.ndarray
    ) -> None:
        segmenter = PlanSegmenter(plan)
        segmenter.segment(images[:1])
        assert cuda.copied == images[:1].nbytes + 60 * 90 + 5 * 8 * 12 * 4
        segmenter.close()
        assert not cuda.streams

    def test_dynamic_batch(
        self, trt: Any, cuda: HostCuda, images: np.ndarray, tmp_path: Path
    ) -> None:
        write_small_onnx(Kind(batch=None), tmp_path / "d.onnx")
        options = BuildOptions(backend="tensorrt", batches=(1, 2, 3))
        built = build_engine(tmp_path / "d.onnx", tmp_path / "d.plan", options)
        segmenter = PlanSegmenter(built.path)
        session = OnnxSession(str(tmp_path / "d.onnx"))
        for count in (1, 3, 2):
            expected = session.run({"image": images[:count]})["logits"]
            made = segmenter.infer(images[:count])["logits"]
            np.testing.assert_array_equal(made, expected)
        with pytest.raises(InputError, match="does not run a batch of 4") as caught:
            segmenter.infer(np.zeros((4, 60, 90, 3), np.uint8))
        assert "\n" not in str(caught.value)
        segmenter.close()

    def test_the_profiler(self, trt: Any, cuda: HostCuda, plan: Path, images: np.ndarray) -> None:
        segmenter, profiler = PlanSegmenter(plan), _make_profiler()
        segmenter.runner.context.profiler = profiler
        segmenter.segment(images[:2])
        assert segmenter.runner.context.profiler is profiler
        ((name, times),) = profiler.times.items()
        assert (name, len(times)) == ("the whole network", 2)
        assert all(0 < seconds < 60 for seconds in times)
        segmenter.close()


class TestRefusedPlans:
    def refusal(self, path: Path, kind: type[EdaformerError] = InputError) -> str:
        with pytest.raises(kind) as caught:
            PlanSegmenter(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda data: data[:-100] + bytes(100), "cursor < blobSize"),
            (lambda data: data[:-100], "header.size == blobSize"),
        ],
        ids=["overwritten", "cut short"],
    )
    def test_damaged(
        self, cuda: HostCuda, plan: Path, damage: Callable[[bytes], bytes], reason: str
    ) -> None:
        plan.write_bytes(damage(plan.read_bytes()))
        sidecar_path(plan).unlink()
        text = self.refusal(plan)
        assert str(plan) in text
        assert reason in text
        assert "build it again" in text

    def test_of_another_version(self, cuda: HostCuda, plan: Path) -> None:
        data = plan.read_bytes()
        plan.write_bytes(data[:24] + bytes((10, 9, 8, 7)) + data[28:])
        sidecar_path(plan).unlink()
        text = self.refusal(plan)
        here = ".".join(map(str, VERSIONS[str(classic.running())]))
        assert f"Current Version: {here}, Serialized Engine Version: 10.9.8.7" in text
        assert "it was built by version 10.9.8.7" in text

    def test_of_the_other_flavour(
        self, cuda: HostCuda, plan: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A TensorRT-RTX plan on a Jetson, which has no TensorRT-RTX."""
        plan.write_bytes(b"vtrt" + plan.read_bytes()[4:])
        sidecar_path(plan).unlink()
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
        assert "tensorrt-rtx is not installed here" in self.refusal(plan, MissingError)

    def test_polygraphy_serves_one_flavour_a_process(
        self, cuda: HostCuda, plan: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take_out_polygraphy()
        monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
        importlib.import_module("polygraphy.config")
        assert "in another one" in self.refusal(plan)

    def test_no_cuda_runtime(
        self, cuda: HostCuda, plan: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object) -> None:
            raise OSError("libcudart.so: cannot open shared object file")

        module = importlib.import_module("polygraphy.cuda.cuda")
        monkeypatch.setattr(module, "G_CUDA", None)
        monkeypatch.setattr(module, "Cuda", missing)
        assert "libcudart.so" in self.refusal(plan, MissingError)

    def test_warnings_do_not_reach_stdout(
        self, cuda: HostCuda, plan: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is for data, and Polygraphy prints there unless told otherwise."""
        segmenter = PlanSegmenter(plan)
        importlib.import_module("polygraphy.logger").G_LOGGER.warning("from Polygraphy")
        segmenter.close()
        assert capsys.readouterr().out == ""

    def test_segmenters_share_a_contract(self, cuda: HostCuda, plan: Path) -> None:
        segmenter = open_artifact(plan)
        assert isinstance(segmenter, ArtifactSegmenter)
        with pytest.raises(InputError, match="images are 32x64 and the artifact takes 60x90"):
            segmenter.segment(np.zeros((1, 32, 64, 3), np.uint8))
        segmenter.close()


class TestLifetimes:
    def test_a_plan_outlives_its_builder(self, trt: Any, small: Path) -> None:
        def build() -> Any:
            logger = backend.make_logger()
            builder = trt.Builder(logger)
            network = builder.create_network(
                1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            )
            assert trt.OnnxParser(network, logger).parse(small.read_bytes())
            return builder.build_serialized_network(network, builder.create_builder_config())

        backend.use("tensorrt")
        plan = build()
        gc.collect()
        assert bytes(plan)[:4] == b"ftrt"
        assert len(bytes(plan)) == plan.nbytes

    def test_context_and_engine_outlive_what_made_them(
        self, trt: Any, small: Path, tmp_path: Path
    ) -> None:
        data = build_engine(small, tmp_path / "x.plan", CLASSIC).path.read_bytes()
        engine = trt.Runtime(backend.make_logger()).deserialize_cuda_engine(data)
        gc.collect()
        assert engine.num_io_tensors == 3
        context = engine.create_execution_context()
        del engine
        gc.collect()
        assert tuple(context.get_tensor_shape("image")) == (1, 60, 90, 3)
        assert context.engine.num_io_tensors == 3

    def test_objects_are_given_back(self, trt: Any, glue: Any, small: Path, tmp_path: Path) -> None:
        data = build_engine(small, tmp_path / "x.plan", CLASSIC).path.read_bytes()
        gc.collect()
        before = len(glue.Object.alive)
        runtime = trt.Runtime(backend.make_logger())
        context = runtime.deserialize_cuda_engine(data).create_execution_context()
        assert len(glue.Object.alive) == before + 3
        del runtime, context
        gc.collect()
        assert len(glue.Object.alive) == before
