"""The gate: what a version has works or says it does not, and what it has not is not there."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.standins import api
from tests.standins.api import VERSIONS, Version
from tests.standins.tensorrt import HostCuda, make_standin, plan_facts

# name, in 10.3, in 11.1
NAMES = (
    ("Builder.build_serialized_network", True, True),
    ("Builder.build_serialized_network_to_stream", False, True),  # 10.13
    ("Builder.platform_has_fast_fp16", True, False),
    ("BuilderFlag.FP16", True, False),
    ("BuilderFlag.TF32", True, True),
    ("BuilderFlag.STRICT_NANS", False, True),
    ("BuilderFlag.EDITABLE_TIMING_CACHE", False, True),  # 10.8
    ("BuilderFlag.DISTRIBUTIVE_INDEPENDENCE", False, True),  # 10.12
    ("NetworkDefinitionCreationFlag.EXPLICIT_BATCH", True, False),
    ("NetworkDefinitionCreationFlag.STRONGLY_TYPED", True, True),
    ("NetworkDefinitionCreationFlag.PREFER_JIT_PYTHON_PLUGINS", False, True),  # 10.9
    ("HardwareCompatibilityLevel.AMPERE_PLUS", True, True),
    ("HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY", False, True),  # 10.9
    ("IBuilderConfig.int8_calibrator", True, False),
    ("IBuilderConfig.runtime_platform", True, True),  # came with 10.3
    ("IBuilderConfig.tiling_optimization_level", False, True),  # 10.8
    ("IBuilderConfig.build_route", False, True),  # 11
    ("ICudaEngine.device_memory_size", True, False),
    ("ICudaEngine.device_memory_size_v2", True, True),
    ("ICudaEngine.create_runtime_config", False, True),  # 10.11
    ("ICudaEngine.get_aliased_input_tensor", False, True),
    ("ICudaEngine.create_execution_context_without_device_memory", True, False),
    ("IExecutionContext.device_memory", True, True),  # not in the stubs
    ("IExecutionContext.execute_async_v3", True, True),
    ("ILayer.precision", True, False),
    ("INormalizationLayer.compute_precision", True, False),
    ("INetworkDefinition.add_attention", False, True),  # 10.14
    ("IRuntimeConfig", False, True),  # 10.11
    ("IStreamReader", True, False),
    ("IStreamReaderV2", False, True),  # 10.7
    ("OnnxParser.parse_from_file", True, True),
    ("OnnxParser.supports_model", True, False),
    ("OnnxParser.supports_model_v2", True, True),
    ("ParserError.node_name", True, True),
    ("float16", True, True),
    ("fp4", False, True),  # 10.8
    ("ComputeCapability", False, False),  # TensorRT-RTX only
    ("nptype", True, True),
)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> Version:
    found: Version = request.param
    return found


@pytest.fixture
def trt(version: Version) -> Any:
    return make_standin(version)


@functools.cache
def shared(version: Version) -> Any:
    return make_standin(version)


def find(root: Any, name: str) -> Any:
    for part in name.split("."):
        root = getattr(root, part)
    return root


@pytest.mark.parametrize(("name", "in_10_3", "in_11_1"), NAMES)
def test_names(name: str, in_10_3: bool, in_11_1: bool) -> None:
    for version, expected in zip(VERSIONS, (in_10_3, in_11_1), strict=True):
        if expected:
            find(shared(version), name)
        else:
            with pytest.raises(AttributeError):
                find(shared(version), name)


def test_every_name_is_there_and_no_other(version: Version, trt: Any) -> None:
    expected = {name for name in api.surface(version).names() if "." not in name}
    assert {name for name in dir(trt) if not name.startswith("_")} == expected
    for name, api_class in api.surface(version).classes.items():
        own = {key for key in api_class.members if not key.startswith("_")}
        inherited = {
            key for base in api_class.bases for key in dir(find(trt, base)) if key[0] != "_"
        }
        enum = {"name", "value"} if api_class.is_enum else set()
        found = {key for key in dir(find(trt, name)) if not key.startswith("_")}
        assert found == own | inherited | enum, name


def test_11_1_agrees_with_a_real_build() -> None:
    """TensorRT-RTX 1.7.1 is built from the sources of 11; what it lacks of 11.1 is listed."""
    rtx = pytest.importorskip("tensorrt_rtx")
    surface = api.surface("11.1")
    lacking, numbers = set(), set()
    for name in surface.names():
        try:
            found = find(rtx, name)
        except AttributeError as error:
            if "no getter" not in str(error):
                lacking.add(name)
            continue
        owner, _, member = name.rpartition(".")
        expected = surface.classes[owner].values.get(member) if owner else None
        if expected is not None and int(found) != expected:
            numbers.add((name, int(found), expected))
    plugins = {
        name
        for name in lacking
        if name.startswith(
            ("ISymExpr", "KernelLaunchParams", "QuickPlugin", "IPluginV3QuickAOTBuild")
        )
    }
    assert lacking - plugins == {
        "Builder.build_engine_with_config",
        "IBuilderConfig.remote_auto_tuning_config",
        "IGpuAllocator.allocate",
        "IGpuAllocator.deallocate",
        "IGpuAsyncAllocator.allocate",
        "IGpuAsyncAllocator.deallocate",
        "INetworkDefinition.add_plugin",
        "INetworkDefinition.add_plugin_v2",
        "INetworkDefinition.add_plugin_v3",
        "NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS",
        "NetworkDefinitionCreationFlag.PREFER_JIT_PYTHON_PLUGINS",
    }
    assert numbers == set()


def test_a_stale_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="mend the table"):
        api._without(api._stubs(), ["BuilderFlag.NEVER_WAS"])
    with pytest.raises(KeyError, match="mend the table"):
        api._with(api._stubs(), {"BuilderFlag": {"TF32": api.Member("value", value=6)}})


def test_overloads_follow_the_classes() -> None:
    def first_types(version: Version) -> list[str]:
        method = api.surface(version).classes["Runtime"].members["deserialize_cuda_engine"]
        return [overload[0].type for overload in method.overloads]

    assert first_types("10.3") == ["typing_extensions.Buffer", "IStreamReader"]
    assert first_types("11.1") == ["typing_extensions.Buffer", "IStreamReaderV2"]


class TestObjects:
    @pytest.fixture
    def builder(self, trt: Any) -> Any:
        return trt.Builder(Collector.of(trt))

    def test_absent_on_instances(self, trt: Any, builder: Any, version: Version) -> None:
        config = builder.create_builder_config()
        network = builder.create_network(0)
        absent = {
            "10.3": [(builder, "build_serialized_network_to_stream"), (config, "build_route")],
            "11.1": [(builder, "platform_has_fast_fp16"), (config, "int8_calibrator")],
        }
        for thing, name in [*absent[version], (network, "nothing"), (trt.BuilderFlag.TF32, "FP17")]:
            assert not hasattr(thing, name)
            with pytest.raises(AttributeError):
                getattr(thing, name)

    def test_nothing_new_can_be_set(self, builder: Any) -> None:
        config = builder.create_builder_config()
        with pytest.raises(AttributeError):
            config.progres_monitor = None
        with pytest.raises(AttributeError):
            builder.create_network(0).num_layers = 3
        with pytest.raises(AttributeError):
            builder.gpu_allocator  # noqa: B018  it can only be set
        builder.gpu_allocator = None

    def test_what_python_cannot_make(self, trt: Any) -> None:
        for name in ("IBuilderConfig", "INetworkDefinition", "ICudaEngine", "IHostMemory"):
            with pytest.raises(TypeError, match="No constructor defined"):
                getattr(trt, name)()

    def test_unsupported_says_so(self, trt: Any, builder: Any) -> None:
        with pytest.raises(NotImplementedError, match="add_loop"):
            builder.create_network(0).add_loop()
        with pytest.raises(NotImplementedError, match="get_plugin_registry"):
            trt.get_plugin_registry()

    def test_arguments_are_checked(self, trt: Any, builder: Any, tmp_path: Path) -> None:
        config, network = builder.create_builder_config(), builder.create_network(0)
        parser = trt.OnnxParser(network, builder.logger)
        wrong = (
            lambda: trt.Builder(None),
            trt.Builder,
            lambda: config.set_flag(6),
            lambda: config.set_flag(flags=trt.BuilderFlag.TF32),
            lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5),
            lambda: config.create_timing_cache(None),
            lambda: config.set_timing_cache(None, ignore_mismatch=False),
            lambda: parser.parse_from_file(tmp_path / "model.onnx"),
            lambda: builder.create_network("1"),
            lambda: setattr(config, "profiling_verbosity", 2),
            lambda: setattr(config, "progress_monitor", object()),
        )
        for call in wrong:
            with pytest.raises(TypeError):
                call()

    def test_bases_must_be_initialised(self, trt: Any) -> None:
        for name in ("ILogger", "IProgressMonitor", "IOutputAllocator", "IDebugListener"):
            base = getattr(trt, name)

            class Forgets(base):  # type: ignore[misc,valid-type]
                def __init__(self) -> None:
                    pass

            class Remembers(base):  # type: ignore[misc,valid-type]
                def __init__(self) -> None:
                    base.__init__(self)  # noqa: B023
                    self.own = 1

            with pytest.raises(TypeError, match=r"__init__\(\) must be called"):
                Forgets()
            assert Remembers().own == 1
            assert isinstance(Remembers(), base)

    def test_exceptions_do_not_cross(self, trt: Any, capfd: pytest.CaptureFixture[str]) -> None:
        class Raises(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: object, msg: str) -> None:
                raise KeyboardInterrupt("from the logger")

        assert trt.Runtime(Raises()).deserialize_cuda_engine(b"not a plan") is None
        assert "Exception caught in log(): from the logger" in capfd.readouterr().err

    def test_network_flags(self, trt: Any, builder: Any, version: Version) -> None:
        typed = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        assert builder.create_network(1 << int(typed)).get_flag(typed)
        assert builder.create_network().get_flag(typed) == (version == "11.1")
        assert builder.create_network(flags=1 << 9) is None
        assert "API Usage Error" in builder.logger.lines[-1][1]

    def test_name_limit(self, builder: Any) -> None:
        network = builder.create_network(0)
        network.name = "n" * 4095
        network.name = "m" * 4096
        assert network.name == "n" * 4095

    def test_context_managers_are_deprecated(self, builder: Any) -> None:
        with pytest.warns(DeprecationWarning, match="Context managers"), builder as same:
            assert same is builder


class TestEnums:
    def test_numbers(self, trt: Any, version: Version) -> None:
        strip, typed = {"10.3": (19, 1), "11.1": (18, 0)}[version]
        assert int(trt.BuilderFlag.STRIP_PLAN) == strip
        assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == typed
        assert 1 << int(trt.BuilderFlag.TF32) == 64

    def test_they_are_not_ints(self, trt: Any) -> None:
        flag = trt.BuilderFlag.TF32
        assert flag != 6
        assert flag == trt.BuilderFlag(6)
        assert flag != trt.DataType(6)
        assert {flag: 1}[trt.BuilderFlag(6)] == 1
        for wrong in (lambda: 1 << flag, lambda: flag | flag, lambda: list(trt.BuilderFlag)):
            with pytest.raises(TypeError):
                wrong()
        with pytest.raises(TypeError, match="matching type"):
            assert flag < 7
        assert flag > trt.BuilderFlag.REFIT

    def test_names(self, trt: Any) -> None:
        assert repr(trt.BuilderFlag.TF32) == "<BuilderFlag.TF32: 6>"
        assert str(trt.DataType.HALF) == "DataType.HALF"
        assert (trt.DataType.HALF.name, trt.DataType.HALF.itemsize) == ("HALF", 2)
        assert trt.BuilderFlag(99).name == "???"
        assert trt.Logger.Severity is trt.ILogger.Severity
        assert trt.Logger.WARNING == trt.ILogger.Severity.WARNING
        assert trt.BuilderFlag.__members__["TF32"] == trt.BuilderFlag.TF32
        assert trt.nptype(trt.float16) is np.float16


def test_dims(trt: Any) -> None:
    dims = trt.Dims([1, 3, 8])
    assert dims == (1, 3, 8)
    assert dims != [1, 3]
    assert (len(dims), dims[-1], dims[1:], list(dims)) == (3, 8, (3, 8), [1, 3, 8])
    assert repr(dims) == "(1, 3, 8)"
    for wrong in (lambda: dims == trt.Dims([1, 3, 8]), lambda: hash(dims)):
        with pytest.raises(TypeError):
            wrong()


class Collector:
    """Makes loggers that keep what they are told."""

    @staticmethod
    def of(trt: Any) -> Any:
        class Kept(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)
                self.lines: list[tuple[str, str]] = []

            def log(self, severity: Any, msg: str) -> None:
                self.lines.append((severity.name, msg))

        return Kept()


class TestBuildAndRun:
    """The work behind the gate, on two nodes."""

    @pytest.fixture
    def logger(self, trt: Any) -> Any:
        return Collector.of(trt)

    def network(self, trt: Any, logger: Any, model: onnx.ModelProto) -> tuple[Any, Any, Any]:
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        parser.parse(model.SerializeToString())
        return builder, network, parser

    def plan(self, trt: Any, logger: Any, model: onnx.ModelProto) -> bytes:
        builder, network, _ = self.network(trt, logger, model)
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        plan = builder.build_serialized_network(network, config)
        assert plan is not None, logger.lines
        return bytes(plan)

    def test_weak_typing_is_noticed(self, trt: Any, logger: Any, version: Version) -> None:
        facts = plan_facts(self.plan(trt, logger, two_nodes()))
        assert facts.strongly_typed == (version == "11.1")
        assert facts.flags == 1 << int(trt.BuilderFlag.TF32)  # on unless cleared

    def test_runs(self, trt: Any, logger: Any) -> None:
        engine = trt.Runtime(logger).deserialize_cuda_engine(self.plan(trt, logger, two_nodes()))
        assert [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)] == [
            "x",
            "y",
        ]
        context = engine.create_execution_context()
        x = np.array([[-1.0, 2.0, -3.0]], np.float32)
        y = np.full((1, 3), np.nan, np.float32)
        assert not context.execute_async_v3(0)
        assert "Address is not set for tensor x" in logger.lines[-1][1]
        assert context.set_tensor_address("x", x.ctypes.data)
        assert context.set_tensor_address("y", y.ctypes.data)
        assert context.execute_async_v3(stream_handle=0)
        np.testing.assert_array_equal(y, [[1, 5, 1]])
        assert not context.set_input_shape("x", (2, 3))

    def test_output_allocator(self, trt: Any, logger: Any) -> None:
        class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IOutputAllocator.__init__(self)
                self.memory = np.zeros(3, np.float32)
                self.shape: tuple[int, ...] = ()

            def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
                assert size == self.memory.nbytes
                return self.memory.ctypes.data

            def notify_shape(self, name: str, shape: Any) -> None:
                self.shape = tuple(shape)

        engine = trt.Runtime(logger).deserialize_cuda_engine(self.plan(trt, logger, two_nodes()))
        context, allocator = engine.create_execution_context(), Allocator()
        x = np.ones((1, 3), np.float32)
        context.set_tensor_address("x", x.ctypes.data)
        context.set_output_allocator("y", allocator)
        assert context.execute_async_v3(0)
        assert allocator.shape == (1, 3)
        np.testing.assert_array_equal(allocator.memory, [3, 3, 3])

    def test_inspector(self, trt: Any, logger: Any, version: Version) -> None:
        engine = trt.Runtime(logger).deserialize_cuda_engine(self.plan(trt, logger, two_nodes()))
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        found = json.loads(text)
        (tensor,) = found["Layers"][0]["Inputs"]
        if version == "10.3":
            assert found["Bindings"] == ["x", "y"]
            assert tensor["Format/Datatype"] == "Row major linear FP32 format"
        else:
            assert [entry["IOMode"] for entry in found["I/O Tensors"]] == ["Input", "Output"]
            assert (tensor["Datatype"], tensor["Dimensions"]) == ("Float", [1, 3])
            assert "Bindings" not in found

    def test_weights_and_profiles(self, trt: Any, logger: Any) -> None:
        builder, network, _ = self.network(trt, logger, two_nodes(batch="n"))
        assert builder.build_serialized_network(network, builder.create_builder_config()) is None
        assert "no optimization profile" in logger.lines[-1][1]
        config, profile = builder.create_builder_config(), builder.create_optimization_profile()
        profile.set_shape("x", (2, 3), (1, 3), (4, 3))
        assert config.add_optimization_profile(profile) == -1
        profile.set_shape("x", (1, 3), (1, 3), (4, 3))
        assert config.add_optimization_profile(profile) == 0
        plan = bytes(builder.build_serialized_network(network, config))
        context = trt.Runtime(logger).deserialize_cuda_engine(plan).create_execution_context()
        assert context.infer_shapes() == ["x"]
        assert not context.set_input_shape("x", (5, 3))
        assert context.set_input_shape("x", (3, 3))
        assert context.get_tensor_shape("y") == (3, 3)

    @pytest.mark.parametrize(
        ("node", "reason"),
        [
            (("NotATensorRTOp", "odd.domain", TensorProto.FLOAT), "Plugin not found"),
            (("Transpose", "", TensorProto.UINT8), "first input has type UInt8"),
            (("Attention", "", TensorProto.FLOAT), "Plugin not found"),
        ],
    )
    def test_refused_nodes(
        self, trt: Any, logger: Any, version: Version, node: tuple[str, str, int], reason: str
    ) -> None:
        operator, domain, kind = node
        made = helper.make_node(operator, ["x"], ["y"], name="block/odd", domain=domain)
        _, _, parser = self.network(trt, logger, graph([made], kind))
        if operator == "Attention" and version == "11.1":
            assert parser.num_errors == 0
            return
        error = parser.get_error(0)
        assert (error.node_name(), error.node_operator()) == ("block/odd", operator)
        assert error.code() == trt.ErrorCode.INVALID_NODE
        assert reason in error.desc()
        assert reason in str(error)

    def test_damaged_files(self, trt: Any, logger: Any, tmp_path: Path) -> None:
        parser = trt.OnnxParser(trt.Builder(logger).create_network(0), logger)
        bad = tmp_path / "bad.onnx"
        bad.write_bytes(b"\x08\x09not a model")
        for path, code in ((bad, "MODEL_DESERIALIZE_FAILED"), (tmp_path / "no", "INVALID_VALUE")):
            parser.clear_errors()
            assert not parser.parse_from_file(str(path))
            assert parser.get_error(0).code().name == code

    def test_damaged_plans(self, trt: Any, logger: Any) -> None:
        plan = self.plan(trt, logger, two_nodes())
        runtime = trt.Runtime(logger)
        other = bytearray(plan)
        other[24] = 9
        cases = (
            (b"vtrt" + plan[4:], "magicTag"),
            (bytes(other), "Version tag does not match"),
            (plan[:-20], "header.size == blobSize"),
            (plan[:20], "bufferSize >= minBufferSize"),
            (plan[:40] + b"\xff" + plan[41:], "cursor < blobSize"),
        )
        for data, reason in cases:
            assert runtime.deserialize_cuda_engine(data) is None
            assert reason in logger.lines[-1][1]


def graph(
    nodes: list[onnx.NodeProto], kind: int = TensorProto.FLOAT, batch: int | str = 1
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", kind, [batch, 3])
    y = helper.make_tensor_value_info("y", kind, [batch, 3])
    return helper.make_model(
        helper.make_graph(nodes, "test", [x], [y]),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("odd.domain", 1)],
        ir_version=9,
    )


def two_nodes(batch: int | str = 1) -> onnx.ModelProto:
    """|x| + x + 1 in two nodes and a constant."""
    nodes = [
        helper.make_node("Abs", ["x"], ["a"], name="abs"),
        helper.make_node("Sum", ["a", "x", "one"], ["y"], name="sum"),
    ]
    model = graph(nodes, batch=batch)
    model.graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))
    return model


class TestHostCuda:
    @pytest.fixture
    def cuda(self) -> HostCuda:
        return HostCuda()

    def test_copies(self, cuda: HostCuda) -> None:
        class Kind:
            value = 1

        source, block = np.arange(4, dtype=np.uint8), cuda.malloc(4)
        cuda.memcpy(dst=block, src=source.ctypes.data, nbytes=4, kind=Kind)
        assert cuda.copied == 4
        with pytest.raises(AssertionError, match="no device memory"):
            cuda.memcpy(dst=source.ctypes.data, src=block, nbytes=4, kind=Kind)
        with pytest.raises(AssertionError, match="no device memory"):
            cuda.memcpy(dst=block, src=source.ctypes.data, nbytes=5, kind=Kind)
        cuda.free(block)
        cuda.free(0)
        assert not cuda.blocks


def test_versions_do_not_share() -> None:
    old, new = make_standin("10.3"), make_standin("11.1")
    assert isinstance(old, ModuleType)
    assert (old.__version__, new.__version__) == ("10.3.0", "11.1.0.106")
    assert old.Builder is not new.Builder
    assert hasattr(old.BuilderFlag, "FP16")
    assert not hasattr(new.BuilderFlag, "FP16")
