"""How NVIDIA's modules behave where we had believed otherwise, and what our code relies on."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.build import compiler
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.errors import InputError
from edaformer.machine import backend
from tests import classic
from tests.classic.inside.conftest import CLASSIC

TYPED = 1 << (1 if (classic.running() or "10").startswith("10") else 0)


@pytest.fixture
def logger(trt: Any) -> Any:
    backend.use("tensorrt")
    return backend.make_logger()


class TestArguments:
    def test_dims_hold_eight_integers(self, trt: Any) -> None:
        assert tuple(trt.Dims([1] * 8)) == (1,) * 8
        with pytest.raises(ValueError, match="Max expected length is 8"):
            trt.Dims([1] * 9)
        with pytest.raises(TypeError):
            trt.Dims([1.5])

    def test_a_pool_is_not_negative(self, trt: Any, logger: Any) -> None:
        config = trt.Builder(logger).create_builder_config()
        with pytest.raises(TypeError, match="incompatible function arguments"):
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, -1)
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 20)
        assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 1 << 20

    def test_flags_are_not_negative(self, trt: Any, logger: Any) -> None:
        with pytest.raises(TypeError, match="incompatible function arguments"):
            trt.Builder(logger).create_network(-1)

    def test_a_network_without_a_name_keeps_its_own(self, trt: Any, logger: Any) -> None:
        builder = trt.Builder(logger)
        network = builder.create_network(TYPED)
        network.name = "mine"
        network.name = None
        assert network.name == "mine"
        assert logger.errors

    def test_the_longest_name(self, trt: Any, logger: Any) -> None:
        """The manifest travels in it."""
        builder = trt.Builder(logger)
        network = builder.create_network(TYPED)
        network.name = "n" * 4095
        network.name = "m" * 4096
        assert network.name == "n" * 4095
        assert logger.errors

    def test_the_optimisation_level_ends_at_5(self, trt: Any, logger: Any) -> None:
        config = trt.Builder(logger).create_builder_config()
        config.builder_optimization_level = 9
        assert config.builder_optimization_level == 5

    def test_tf32_is_on_until_it_is_cleared(self, trt: Any, logger: Any) -> None:
        config = trt.Builder(logger).create_builder_config()
        assert config.get_flag(trt.BuilderFlag.TF32)
        config.clear_flag(trt.BuilderFlag.TF32)
        assert not config.get_flag(trt.BuilderFlag.TF32)

    def test_a_plan_is_a_buffer_without_a_length(self, trt: Any, logger: Any, small: Path) -> None:
        builder = trt.Builder(logger)
        network = builder.create_network(TYPED)
        assert trt.OnnxParser(network, logger).parse(small.read_bytes())
        plan = builder.build_serialized_network(network, builder.create_builder_config())
        assert memoryview(plan).nbytes == plan.nbytes == len(bytes(plan))
        with pytest.raises(TypeError):
            len(plan)

    def test_an_error_that_is_not_there(self, trt: Any, logger: Any) -> None:
        builder = trt.Builder(logger)
        network = builder.create_network(TYPED)
        parser = trt.OnnxParser(network, logger)
        assert not parser.parse(b"no model")
        assert parser.num_errors > 0
        assert parser.get_error(parser.num_errors + 5) is None

    def test_an_empty_plan(self, trt: Any, logger: Any) -> None:
        assert trt.Runtime(logger).deserialize_cuda_engine(b"") is None
        assert logger.errors

    def test_whoever_derives_calls_the_base(self, trt: Any) -> None:
        class Forgetful(trt.ILogger):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                pass

        with pytest.raises(TypeError, match="__init__"):
            Forgetful()


class TestCallbacks:
    def test_an_exception_in_the_logger_ends_nothing(
        self, trt: Any, small: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        class Broken(trt.ILogger):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)
                self.calls = 0

            def log(self, severity: Any, msg: str) -> None:
                self.calls += 1
                raise ValueError("the disk is full")

        logger = Broken()
        builder = trt.Builder(logger)
        network = builder.create_network(TYPED)
        assert trt.OnnxParser(network, logger).parse(small.read_bytes())
        config = builder.create_builder_config()
        assert builder.build_serialized_network(network, config) is not None
        assert logger.calls > 0
        assert "Exception caught in log()" in "".join(capfd.readouterr())

    def test_the_builder_knows_its_logger_and_the_monitor(self, trt: Any, logger: Any) -> None:
        builder = trt.Builder(logger)
        assert builder.logger is logger
        config = builder.create_builder_config()

        class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

        config.progress_monitor = monitor = Monitor()
        assert config.progress_monitor is monitor

    def test_a_monitor_that_raises_cancels(
        self, trt: Any, logger: Any, small: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """So that our own catches all, and raises once the builder has returned."""

        class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, name: str, parent: str | None, steps: int) -> None:
                pass

            def step_complete(self, name: str, step: int) -> bool:
                raise ValueError("no terminal")

            def phase_finish(self, name: str) -> None:
                pass

        builder = trt.Builder(logger)
        network = builder.create_network(TYPED)
        assert trt.OnnxParser(network, logger).parse(small.read_bytes())
        config = builder.create_builder_config()
        config.progress_monitor = Monitor()
        assert builder.build_serialized_network(network, config) is None
        assert "no terminal" in "".join(capfd.readouterr())


def test_no_warning_reaches_the_user(small: Path, tmp_path: Path) -> None:
    """Each release deprecates something; nothing of it is on the way of a build."""
    script = (
        "import warnings; warnings.simplefilter('always')\n"
        "from edaformer.families.edaformer.sizes import VARIANTS\n"
        "from tests.tiny import TINY; VARIANTS[TINY.name] = TINY\n"
        "import sys; from edaformer.cli.build import main\n"
        "main()\n"
    )
    options = ["--backend", "tensorrt", "--timing-cache", str(tmp_path / "t.cache")]
    command = [sys.executable, "-W", "always", "-c", script, str(small), "-o",
               str(tmp_path / "x.plan"), *options]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr + done.stdout
    assert "deprecated" not in (done.stderr + done.stdout).lower()


def test_the_release_still_warns(trt: Any) -> None:
    """The test above would notice: what it looks for is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with trt.Builder(trt.Logger()):
            pass
    assert any(issubclass(warning.category, DeprecationWarning) for warning in caught)


class TestFaults:
    """A fault put into the classic path is caught, and named."""

    def test_a_wrong_enum_name(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(trt.ProfilingVerbosity, "DETAILED")
        with pytest.raises(AttributeError, match="DETAILED"):
            build_engine(small, tmp_path / "x.plan", CLASSIC)

    def test_a_removed_method(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(trt.IBuilderConfig, "clear_flag")
        with pytest.raises(AttributeError, match="clear_flag"):
            build_engine(small, tmp_path / "x.plan", CLASSIC)

    def test_a_flag_that_11_lacks(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def faulty(*given: Any) -> Any:
            config, flags = configure(*given)
            config.set_flag(trt.BuilderFlag.FP16)
            return config, flags

        configure = compiler._configure
        monkeypatch.setattr(compiler, "_configure", faulty)
        if str(classic.running()).startswith("10"):  # where the layer would end this process
            assert trt.BuilderFlag.FP16.name == "FP16"
            return
        with pytest.raises(AttributeError, match="FP16"):
            build_engine(small, tmp_path / "x.plan", CLASSIC)

    def test_a_timing_cache_that_is_not_attached(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compiler, "_set_timing_cache", lambda *_: None)
        options = BuildOptions(backend="tensorrt", timing_cache=tmp_path / "t.cache")
        with pytest.raises(AttributeError, match="serialize"):
            build_engine(small, tmp_path / "x.plan", options)

    def test_a_timing_cache_that_is_refused(
        self, trt: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            trt.IBuilderConfig, "set_timing_cache", lambda self, cache, ignore_mismatch: False
        )
        options = BuildOptions(backend="tensorrt", timing_cache=tmp_path / "t.cache")
        with pytest.raises(InputError, match=r"t\.cache is another"):
            build_engine(small, tmp_path / "x.plan", options)

    def test_a_call_that_the_layer_does_not_know(self, trt: Any) -> None:
        script = (
            "import tensorrt as trt\n"
            "builder = trt.Builder(trt.Logger()); builder.create_builder_config().reset()"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert done.returncode < 0
        assert "IBuilderConfig.reset() is not in the layer" in done.stderr
