"""A module that has exactly what a version of TensorRT's Python package has, on a CPU.

``make_standin("10.3")`` makes a module whose classes, enums and methods are those of
tests.standins.api: the rest raises AttributeError, as in the real one. Arguments are checked as
pybind11 checks them, against the stubs' overloads.

Behind that surface: networks are parsed by the onnx package, an engine is the ONNX file in a plan
that opens like a real one, and executing it is ONNX Runtime, from and to the addresses it is given.
What the stand-in cannot do raises NotImplementedError; it never pretends.

Where a comment says "seen", the behaviour and the words of the message were seen in TensorRT-RTX
1.7.1, whose Python package is made from the same bindings and builds without a GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.standins import Behind, api, gated_module, is_ours, new
from tests.standins.api import Version

VERSION_BYTES: dict[Version, tuple[int, int, int, int]] = {
    "10.3": (10, 3, 0, 30),  # JetPack 6's
    "11.1": (11, 1, 0, 106),  # the last number is made up
}
_HEADER = 32  # bytes; size and version lie where they do in a real plan (seen)
_SIZE_AT = 16
_VERSION_AT = 24
_NAME_LIMIT = 4095  # bytes of a network's name, NvInfer.h
_LEAST_WORKSPACE = 1 << 20  # bytes below which the stand-in finds no tactic
_ATTENTION_SINCE = (10, 14)  # ONNX Attention, CHANGELOG.md of TensorRT

# trt.DataType by the names of ONNX's element types
_DTYPES = {
    "FLOAT": "FLOAT",
    "FLOAT16": "HALF",
    "BFLOAT16": "BF16",
    "INT8": "INT8",
    "INT32": "INT32",
    "INT64": "INT64",
    "BOOL": "BOOL",
    "UINT8": "UINT8",
}
_NUMPY: dict[str, type[np.generic]] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}
_BYTES = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT8": 1, "INT32": 4, "INT64": 8, "BOOL": 1,
          "UINT8": 1, "FP8": 1, "INT4": 0.5, "FP4": 0.5, "E8M0": 1}  # fmt: skip


@dataclass
class Record:
    """What a stand-in was made to do, for the tests to look at."""

    timed: list[int] = field(default_factory=list)  # tactics timed by each build
    executed: int = 0


@dataclass(frozen=True)
class PlanFacts:
    """What a stand-in's plan says about how it was built."""

    strongly_typed: bool
    flags: int
    workspace: int
    verbosity: str
    name: str
    profiles: list[dict[str, list[list[int]]]]
    onnx: bytes = field(repr=False)


def make_standin(
    version: Version, *, device: str = "stand-in GPU, 8.7", fuses: bool = True
) -> ModuleType:
    """A fresh module called ``tensorrt``; its ``_record`` is a Record.

    Args:
        version: whose surface.
        device: the GPU it says it has; a timing cache is bound to it.
        fuses: its inspector shows every attention as one kernel, named as TensorRT names it.
    """
    module: Any = gated_module(
        "tensorrt", api.surface(version), Behind(_BEHIND, _DEFAULTS, _FUNCTIONS)
    )
    parts = VERSION_BYTES[version][: 3 if version == "10.3" else 4]  # as the real 10.3.0 says it
    module.__version__ = ".".join(map(str, parts))
    module._bytes = bytes(VERSION_BYTES[version])
    module._device = device
    module._fuses = fuses
    module._record = Record()
    module._alignment = 1  # NvInferRuntime.h asks for 256; NumPy's arrays have less
    module._enqueue = None  # executes later: given the stream's handle and the work
    return cast(ModuleType, module)


def plan_facts(plan: bytes) -> PlanFacts:
    """Read a stand-in's plan.

    Raises:
        ValueError: if it is damaged, or not a stand-in's.
    """
    body, (checksum,) = plan[:-4], struct.unpack("<I", plan[-4:])
    if zlib.crc32(body) != checksum:
        raise ValueError("checksum")
    (length,) = struct.unpack_from("<I", body, _HEADER)
    at = _HEADER + 4 + length
    meta = json.loads(body[_HEADER + 4 : at])
    name, _, rest = body[at:].partition(b"\0")
    return PlanFacts(**meta, name=name.decode(), onnx=rest)


# --- functions of the module ----------------------------------------------------------------------


def _volume(iterable: Any) -> int:
    return int(np.prod(list(iterable), dtype=np.int64))


def _nptype(trt_type: Any) -> type[np.generic]:
    if trt_type.name not in _NUMPY:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return _NUMPY[trt_type.name]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "volume": _volume,
    "nptype": _nptype,
    "init_libnvinfer_plugins": lambda logger, namespace: True,
}


# --- calls back into Python -----------------------------------------------------------------------


def _call(owner: Any, method: str, *args: Any, base: str, otherwise: Any = None) -> Any:
    """Call an application's override as the C++ side does: an exception ends there, in print.

    That holds for every exception, KeyboardInterrupt too (seen; pyCore.cpp catches them all).
    """
    definer = next((kind for kind in type(owner).__mro__ if method in vars(kind)), None)
    try:
        if definer is not None and not is_ours(definer):
            return getattr(owner, method)(*args)
        error: BaseException = NotImplementedError(
            f'Tried to call pure virtual function "{base}::{method}"'
        )
    except BaseException as raised:  # noqa: BLE001  what pybind11's trampolines do
        error = raised
    print(f"[ERROR] Exception caught in {method}(): {error}", file=sys.stderr)
    return otherwise


def _log(owner: Any, severity: str, message: str) -> None:
    """Send a message to the logger of a builder, network, runtime, ..."""
    logger = owner._.logger
    level = getattr(owner._module.ILogger, severity)
    if type(logger) is owner._module.Logger:
        logger.log(level, message)
    else:
        _call(logger, "log", level, message, base="ILogger")


class _CancelledError(Exception):
    """A progress monitor said stop."""


class _Progress:
    """Drives a progress monitor: phases nest, and close even when the build is cancelled (seen)."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.open: list[str] = []

    @contextlib.contextmanager
    def phase(self, name: str, steps: int) -> Iterator[Callable[[int], None]]:
        """A phase; the value tells that a step is done."""
        parent = self.open[-1] if self.open else None
        self._tell("phase_start", name, parent, steps)
        self.open.append(name)
        try:
            yield lambda step: self._step(name, step)
        finally:
            self.open.pop()
            self._tell("phase_finish", name)

    def _step(self, name: str, step: int) -> None:
        if self.monitor is not None and not self._tell("step_complete", name, step):
            raise _CancelledError

    def _tell(self, method: str, *args: Any) -> Any:
        if self.monitor is None:
            return None
        return _call(self.monitor, method, *args, base="IProgressMonitor", otherwise=False)


# --- what stands behind each class ----------------------------------------------------------------
# Only members that the version's surface has are taken from these; ``self._`` is the state and
# ``self._module`` the module.


class _Flags:
    """A bit set of flags, as four classes have it."""

    def set_flag(self: Any, flag: Any) -> None:
        self._.flags |= 1 << int(flag)

    def clear_flag(self: Any, flag: Any) -> None:
        self._.flags &= ~(1 << int(flag))

    def get_flag(self: Any, flag: Any) -> bool:
        return bool(self._.flags >> int(flag) & 1)


class _ILogger:
    def log(self: Any, severity: Any, msg: str) -> None:
        print(
            '[ERROR] Exception caught in log(): Tried to call pure virtual function "ILogger::log"',
            file=sys.stderr,
        )


class _Logger:
    def __init__(self: Any, min_severity: Any = None) -> None:
        self._ = SimpleNamespace(min_severity=min_severity or self._module.ILogger.WARNING)

    def log(self: Any, severity: Any, msg: str) -> None:
        if int(severity) <= int(self.min_severity):
            print(f"[TRT] [{severity.name[0]}] {msg}", file=sys.stderr)


class _Dims:
    def __init__(self: Any, shape: Sequence[int] = ()) -> None:
        self._ = SimpleNamespace(values=[int(size) for size in shape])

    def __len__(self: Any) -> int:
        return len(self._.values)

    def __getitem__(self: Any, arg0: Any) -> Any:
        if isinstance(arg0, slice):
            return tuple(self._.values[arg0])
        if not -len(self._.values) <= arg0 < len(self._.values):
            raise IndexError("Out of bounds")
        return self._.values[arg0]

    def __setitem__(self: Any, arg0: Any, arg1: Any) -> None:
        self._.values[arg0] = arg1

    def __eq__(self: Any, arg0: object) -> bool:
        # a list or tuple: another Dims does not get here, but raises TypeError (seen)
        return list(self._.values) == list(cast(Any, arg0))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self: Any) -> str:
        return repr(tuple(self._.values))

    def __str__(self: Any) -> str:
        return repr(tuple(self._.values))


class _IHostMemory:
    @property
    def nbytes(self: Any) -> int:
        return len(self._.data)

    @property
    def dtype(self: Any) -> Any:
        return self._module.DataType.INT8

    # The real one is a buffer, which a Python class can be from 3.12 on only (PEP 688).
    def __bytes__(self: Any) -> bytes:
        return cast(bytes, self._.data)

    def __buffer__(self: Any, flags: int) -> memoryview:
        return memoryview(self._.data)


class _Builder:
    def __init__(self: Any, logger: Any) -> None:
        self._ = SimpleNamespace(logger=logger)

    def create_network(self: Any, flags: int = 0) -> Any:
        known = self._module.NetworkDefinitionCreationFlag
        if int(flags) & ~sum(1 << int(flag) for flag in known.__members__.values()):
            _log(self, "ERROR", "IBuilder::createNetworkV2: Error Code 3: API Usage Error (flags)")
            return None  # seen
        typed = 1 << int(known.STRONGLY_TYPED)
        if self._module._bytes[0] >= 11:
            flags = int(flags) | typed  # always on, and reported so (seen)
        return new(
            self._module.INetworkDefinition,
            builder=self,
            logger=self._.logger,
            flags=int(flags),
            name="Unnamed Network 0",  # seen
            inputs=[],
            outputs=[],
            layers=[],
            model=b"",
        )

    def create_builder_config(self: Any) -> Any:
        flags = 1 << int(self._module.BuilderFlag.TF32)  # on by default, NvInfer.h
        return new(
            self._module.IBuilderConfig,
            logger=self._.logger,
            flags=flags,
            pools={"WORKSPACE": 64 << 30},
            profiles=[],
            cache=None,
        )

    def create_optimization_profile(self: Any) -> Any:
        return new(self._module.IOptimizationProfile, logger=self._.logger, shapes={})

    def build_serialized_network(self: Any, network: Any, config: Any) -> Any:
        problem = _build_problem(network, config)
        if problem is None:
            try:
                _build_phases(self, network, config)
            except _CancelledError:
                problem = "Error Code 7: BuildCanceled (Build canceled by user)"
        if problem is not None:
            _log(self, "ERROR", f"IBuilder::buildSerializedNetwork: {problem}")
            return None
        return new(self._module.IHostMemory, data=_write_plan(network, config))

    def is_network_supported(self: Any, network: Any, config: Any) -> bool:
        return _build_problem(network, config) is None

    def reset(self: Any) -> None:
        pass


class _IOptimizationProfile:
    def set_shape(self: Any, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self._.shapes[input] = [list(shape) for shape in (min, opt, max)]

    def get_shape(self: Any, input: str) -> list[Any]:  # noqa: A002
        return [self._module.Dims(shape) for shape in self._.shapes.get(input, [])]

    def __bool__(self: Any) -> bool:
        return all(
            len(least) == len(best) == len(most)
            and all(0 <= a <= b <= c for a, b, c in zip(least, best, most, strict=True))
            for least, best, most in self._.shapes.values()
        )


class _IBuilderConfig(_Flags):
    def set_memory_pool_limit(self: Any, pool: Any, pool_size: int) -> None:
        self._.pools[pool.name] = int(pool_size)

    def get_memory_pool_limit(self: Any, pool: Any) -> int:
        return cast(int, self._.pools.get(pool.name, 0))

    def get_tactic_sources(self: Any) -> int:
        return sum(1 << int(source) for source in self._module.TacticSource.__members__.values())

    def get_preview_feature(self: Any, feature: Any) -> bool:
        return False

    def get_quantization_flag(self: Any, flag: Any) -> bool:
        return False

    def add_optimization_profile(self: Any, profile: Any) -> int:
        if not profile:
            _log(
                self,
                "ERROR",
                "IBuilderConfig::addOptimizationProfile: Error Code 3: API Usage Error (Parameter "
                "check failed, condition: profile->isValid().)",
            )
            return -1  # seen
        self._.profiles.append(profile)
        return len(self._.profiles) - 1

    @property
    def num_optimization_profiles(self: Any) -> int:
        return len(self._.profiles)

    def create_timing_cache(self: Any, serialized_timing_cache: Any) -> Any:
        """Bytes of another version, or of nothing known, make an empty cache and a log line.

        Seen so; in TensorRT 8.6 the lines were errors (NVIDIA/TensorRT issue 3566).
        """
        data = bytes(serialized_timing_cache)
        device, keys = self._module._device, set[str]()
        ours = data[:8] == b"tmcs" + self._module._bytes
        if ours:
            content = json.loads(data[8:])
            device, keys = content["device"], set(content["keys"])
        elif data:
            severity = "ERROR" if self._module._bytes[0] == 10 else "WARNING"
            _log(self, severity, "Error Code 1: Serialization (Version tag does not match)")
            _log(self, severity, "The timing cache will not be used!")
        return new(self._module.ITimingCache, logger=self._.logger, device=device, keys=keys)

    def set_timing_cache(self: Any, cache: Any, ignore_mismatch: bool) -> bool:
        if cache._.device != self._module._device and not ignore_mismatch:
            _log(self, "ERROR", "The timing cache is of another device")
            return False  # NvInfer.h: "a failure will be reported"
        self._.cache = cache
        return True

    def get_timing_cache(self: Any) -> Any:
        return self._.cache

    def reset(self: Any) -> None:
        self._.flags = 1 << int(self._module.BuilderFlag.TF32)
        self._.profiles.clear()


class _ITimingCache:
    def serialize(self: Any) -> Any:
        rest = json.dumps({"device": self._.device, "keys": sorted(self._.keys)}).encode()
        return new(self._module.IHostMemory, data=b"tmcs" + self._module._bytes + rest)

    def reset(self: Any) -> bool:
        self._.keys.clear()
        return True

    def combine(self: Any, input_cache: Any, ignore_mismatch: bool) -> bool:
        if input_cache._.device != self._.device and not ignore_mismatch:
            return False
        self._.keys |= input_cache._.keys
        return True


class _INetworkDefinition(_Flags):
    @property
    def name(self: Any) -> str:
        return cast(str, self._.name)

    @name.setter
    def name(self: Any, value: str) -> None:
        if len(value.encode()) > _NAME_LIMIT:
            _log(self, "ERROR", "INetworkDefinition::setName: Error Code 3: API Usage Error (name)")
            return  # it keeps the old one (seen)
        self._.name = value

    @property
    def num_inputs(self: Any) -> int:
        return len(self._.inputs)

    @property
    def num_outputs(self: Any) -> int:
        return len(self._.outputs)

    @property
    def num_layers(self: Any) -> int:
        return len(self._.layers)

    def __len__(self: Any) -> int:
        return len(self._.layers)

    def __getitem__(self: Any, arg0: int) -> Any:
        if not 0 <= arg0 < len(self._.layers):
            raise IndexError("Out of bounds")
        return new(self._module.ILayer, name=self._.layers[arg0].name)

    def get_layer(self: Any, index: int) -> Any:
        return self[index]

    def get_input(self: Any, index: int) -> Any:
        return _at(self, "getInput", self._.inputs, index)

    def get_output(self: Any, index: int) -> Any:
        return _at(self, "getOutput", self._.outputs, index)


def _at(network: Any, what: str, tensors: list[Any], index: int) -> Any:
    if 0 <= index < len(tensors):
        return tensors[index]
    _log(network, "ERROR", f"INetworkDefinition::{what}: Error Code 3: API Usage Error (index)")
    return None  # seen


class _ParserError:
    def code(self: Any) -> Any:
        return getattr(self._module.ErrorCode, self._.code)

    def desc(self: Any) -> str:
        return cast(str, self._.desc)

    def file(self: Any) -> str:
        return "ModelImporter.cpp"

    def func(self: Any) -> str:
        return cast(str, self._.func)

    def line(self: Any) -> int:
        return 0

    def node(self: Any) -> int:
        return cast(int, self._.node)

    def node_name(self: Any) -> str:
        return cast(str, self._.node_name)

    def node_operator(self: Any) -> str:
        return cast(str, self._.node_operator)

    def local_function_stack(self: Any) -> list[str]:
        return []

    def local_function_stack_size(self: Any) -> int:
        return 0

    def __str__(self: Any) -> str:
        text = f"({self._.func}): {self._.code}: {self._.desc}"
        if self._.code == "MODEL_DESERIALIZE_FAILED":
            return text
        return (
            f"In node {self._.node} with name: {self._.node_name} and operator: "
            f"{self._.node_operator} {text}"
        )

    def __repr__(self: Any) -> str:
        return str(self)


class _OnnxParser(_Flags):
    def __init__(self: Any, network: Any, logger: Any) -> None:
        self._ = SimpleNamespace(network=network, logger=logger, errors=[], flags=0)

    def parse_from_file(self: Any, model: str) -> bool:
        try:
            loaded = onnx.load(model)
        except OSError:
            return _refuse(
                self,
                "INVALID_VALUE",
                f"Assertion failed: Input file cannot be found, or is not a regular file: {model}",
                "parseFromFile",
            )
        except Exception:  # noqa: BLE001  protobuf's own error, by whatever name it goes
            return _undecodable(self)
        return _parse(self, loaded)

    def parse(self: Any, model: Any, path: str | None = None) -> bool:
        try:
            loaded = onnx.load_model_from_string(bytes(model))
        except Exception:  # noqa: BLE001  protobuf's own error, by whatever name it goes
            return _undecodable(self)
        return _parse(self, loaded)

    @property
    def num_errors(self: Any) -> int:
        return len(self._.errors)

    def get_error(self: Any, index: int) -> Any:
        return self._.errors[index]

    def clear_errors(self: Any) -> None:
        self._.errors.clear()


def _undecodable(parser: Any) -> bool:
    text = "Assertion failed: Failed to parse the ONNX model."
    return _refuse(parser, "MODEL_DESERIALIZE_FAILED", text, "deserializeOnnxModel")


def _refuse(
    parser: Any, code: str, desc: str, func: str, node: tuple[int, str, str] = (-1, "", "")
) -> bool:
    index, name, operator = node
    error = new(
        parser._module.ParserError, code=code, desc=desc, func=func,
        node=index, node_name=name, node_operator=operator,
    )  # fmt: skip
    parser._.errors.append(error)
    _log(parser, "ERROR", str(error))
    return False


def _parse(parser: Any, model: onnx.ModelProto) -> bool:
    """Take a decoded model into the network; the first node that cannot be imported ends it."""
    graph = _graph(parser._module, model)
    for index, layer in enumerate(graph.layers):
        refusal = _refusal(parser._module, layer)
        if refusal is not None:
            return _refuse(parser, "INVALID_NODE", *refusal, (index, layer.name, layer.type))
    network = parser._.network._
    network.inputs, network.outputs, network.layers = graph.inputs, graph.outputs, graph.layers
    network.model = model.SerializeToString()
    return True


@dataclass(frozen=True)
class _Layer:
    """A node, with the tensors it computes on; weights are not among them."""

    name: str
    type: str
    domain: str
    inputs: list[Any]
    outputs: list[Any]


@dataclass(frozen=True)
class _Graph:
    inputs: list[Any]
    outputs: list[Any]
    layers: list[_Layer]


def _graph(trt: Any, model: onnx.ModelProto) -> _Graph:
    """A model as tensors and layers."""
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    inner = onnx.shape_inference.infer_shapes(model).graph.value_info
    tensors = {value.name: _tensor(trt, value) for value in inner}
    tensors |= {value.name: _tensor(trt, value, is_output=True) for value in model.graph.output}
    tensors |= {value.name: _tensor(trt, value, is_input=True) for value in inputs}
    return _Graph(
        [tensors[value.name] for value in inputs],
        [tensors[value.name] for value in model.graph.output],
        [
            _Layer(
                node.name,
                node.op_type,
                node.domain,
                [tensors[name] for name in node.input if name in tensors],
                [tensors[name] for name in node.output if name in tensors],
            )
            for node in model.graph.node
        ],
    )


def _refusal(trt: Any, layer: _Layer) -> tuple[str, str] | None:
    """Why a node cannot be imported, and the function that says so (all seen)."""
    is_known = layer.domain in {"", "ai.onnx"}
    if layer.type == "Attention" and tuple(trt._bytes[:2]) < _ATTENTION_SINCE:
        is_known = False
    if not is_known:
        plugin = "Plugin not found, are the plugin name, version, and namespace correct?"
        return f'creator && "{plugin}"', "checkFallbackPluginImporter"
    is_uint8 = any(tensor.dtype == trt.DataType.UINT8 for tensor in layer.inputs)
    if layer.type in {"Transpose", "Slice"} and is_uint8:
        return (
            f"Invalid Node - {layer.name}\nITensor::getDimensions: Error Code 4: API Usage Error "
            f"({layer.name}: first input has type UInt8 but must have type Float, Half, BFloat16, "
            "FP8, E8M0, FP4, Int4, Int8, Int64, Int32, or Bool.)"
        ), "parseNode"
    return None


def _tensor(
    trt: Any, value: onnx.ValueInfoProto, *, is_input: bool = False, is_output: bool = False
) -> Any:
    kind = value.type.tensor_type
    return new(
        trt.ITensor,
        name=value.name,
        dtype=getattr(trt.DataType, _DTYPES[onnx.TensorProto.DataType.Name(kind.elem_type)]),
        shape=trt.Dims([d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]),
        is_network_input=is_input,
        is_network_output=is_output,
        is_execution_tensor=True,
        is_shape_tensor=False,
    )


def _build_problem(network: Any, config: Any) -> str | None:
    """Why a network cannot be built, in the builder's words (seen)."""
    usage = "Error Code 4: API Usage Error"
    if not network._.outputs:
        return f"{usage} (Network must have at least one output.)"
    for tensor in network._.inputs:
        problem = _profile_problem(tensor, config._.profiles)
        if problem is not None:
            return f"{usage} ({problem})"
    if config._.pools["WORKSPACE"] < _LEAST_WORKSPACE:
        return (
            "Error Code 1: Myelin (Tactic Selection: no tactics to implement the operation within "
            "workspace limit. Consider increase the allowed workspace size if applicable.)"
        )
    return None


def _profile_problem(tensor: Any, profiles: Sequence[Any]) -> str | None:
    sizes, dynamic = list(tensor.shape), -1 in list(tensor.shape)
    if dynamic and not profiles:
        return "Network has dynamic or shape inputs, but no optimization profile has been defined."
    for index, profile in enumerate(profiles):
        shapes = profile._.shapes.get(tensor.name)
        if shapes is None:
            if dynamic:
                return (
                    f"Dynamic input tensor {tensor.name} is missing dimensions in profile {index}."
                )
            continue
        for axis, size in enumerate(sizes):
            least, best, most = (shape[axis] for shape in shapes)
            if size >= 0 and (least, best, most) != (size, size, size):
                return (
                    f"Dimension mismatch for tensor {tensor.name} and profile {index}. At "
                    f"dimension axis {axis}, profile has min={least}, opt={best}, max={most} but "
                    f"tensor has {size}."
                )
    return None


def _build_phases(builder: Any, network: Any, config: Any) -> None:
    """Pretend to optimise and to time, telling the monitor; the cache saves timings."""
    progress = _Progress(
        config._.progress_monitor if hasattr(config._, "progress_monitor") else None
    )
    cache = config._.cache
    known = cache._.keys if cache is not None else set()
    keys = [_tactic_key(layer) for layer in network._.layers]
    new = sorted({key for key in keys if key not in known})
    with progress.phase("Building engine", 2) as done:
        with progress.phase("Optimizing graph", 4) as optimized:
            for step in range(4):
                optimized(step)
        done(0)
        with progress.phase("Timing graph nodes", len(new)) as timed:
            for step in range(len(new)):
                timed(step)
        done(1)
    known |= set(new)
    builder._module._record.timed.append(len(new))


def _tactic_key(layer: _Layer) -> str:
    text = json.dumps([layer.type, [[str(t.dtype), str(t.shape)] for t in layer.inputs]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write_plan(network: Any, config: Any) -> bytes:
    """Tag and version where the real ones lie, facts, name, ONNX, checksum."""
    trt = network._module
    header = bytearray(_HEADER)
    header[:4] = b"ftrt"
    header[_VERSION_AT : _VERSION_AT + 4] = trt._bytes
    typed = network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    meta = json.dumps(
        {
            "strongly_typed": typed,
            "flags": config.flags,
            "workspace": config._.pools["WORKSPACE"],
            "verbosity": config.profiling_verbosity.name,
            "profiles": [profile._.shapes for profile in config._.profiles],
        }
    ).encode()
    name = network.name.encode() + b"\0"
    content = struct.pack("<I", len(meta)) + meta + name + network._.model
    struct.pack_into("<Q", header, _SIZE_AT, _HEADER + len(content) + 4)
    body: bytes = bytes(header) + content
    return body + struct.pack("<I", zlib.crc32(body))


class _Runtime:
    def __init__(self: Any, logger: Any) -> None:
        self._ = SimpleNamespace(logger=logger)

    def deserialize_cuda_engine(self: Any, serialized_engine: Any = None, **readers: Any) -> Any:
        if readers:
            raise NotImplementedError("the stand-in for TensorRT reads plans from bytes only")
        plan = bytes(serialized_engine)
        problem = _plan_problem(plan, self._module)
        if problem is not None:
            _log(
                self,
                "ERROR",
                "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization "
                f"assertion {problem})",
            )
            return None
        return _engine(self, plan_facts(plan), plan)


def _plan_problem(plan: bytes, trt: Any) -> str | None:
    """Why a plan cannot be read (seen, but for the version: NVIDIA/TensorRT issue 3566).

    A real one has no checksum: what is damaged deep inside may go unnoticed there.
    """
    if len(plan) < _HEADER:
        return "bufferSize >= minBufferSize failed."
    if plan[:4] != b"ftrt":
        return "header.magicTag == kEXPECTED_MAGIC_TAG failed."
    if struct.unpack_from("<Q", plan, _SIZE_AT) != (len(plan),):
        return "plan.header.size == blobSize failed."
    theirs = plan[_VERSION_AT : _VERSION_AT + 4]
    if theirs != trt._bytes:
        current, other = (".".join(map(str, version)) for version in (trt._bytes, theirs))
        return (
            "stdVersionRead == serializationVersion failed.Version tag does not match. Note: "
            f"Current Version: {current}, Serialized Engine Version: {other}"
        )
    try:
        plan_facts(plan)
    except ValueError:
        return "cursor < blobSize failed."
    return None


def _engine(runtime: Any, facts: PlanFacts, plan: bytes) -> Any:
    graph = _graph(runtime._module, onnx.load_model_from_string(facts.onnx))
    return new(
        runtime._module.ICudaEngine,
        logger=runtime._.logger,
        name=facts.name,
        facts=facts,
        plan=plan,
        tensors={tensor.name: tensor for tensor in [*graph.inputs, *graph.outputs]},
        layers=graph.layers,
    )


class _ICudaEngine:
    @property
    def num_layers(self: Any) -> int:
        return len(self._.layers)

    @property
    def num_io_tensors(self: Any) -> int:
        return len(self._.tensors)

    @property
    def num_optimization_profiles(self: Any) -> int:
        return max(1, len(self._.facts.profiles))

    @property
    def profiling_verbosity(self: Any) -> Any:
        return getattr(self._module.ProfilingVerbosity, self._.facts.verbosity)

    def __getitem__(self: Any, arg0: int) -> str:
        return cast(str, self.get_tensor_name(arg0))

    def get_tensor_name(self: Any, index: int) -> str | None:
        names = list(self._.tensors)
        return names[index] if 0 <= index < len(names) else None

    def get_tensor_mode(self: Any, name: str) -> Any:
        tensor, modes = self._.tensors.get(name), self._module.TensorIOMode
        if tensor is None:
            return modes.NONE
        return modes.INPUT if tensor.is_network_input else modes.OUTPUT

    def get_tensor_shape(self: Any, name: str) -> Any:
        return self._module.Dims(list(self._.tensors[name].shape))

    def get_tensor_dtype(self: Any, name: str) -> Any:
        return self._.tensors[name].dtype

    def get_tensor_format(self: Any, name: str, profile_index: int = 0) -> Any:
        return self._module.TensorFormat.LINEAR

    def get_tensor_location(self: Any, name: str) -> Any:
        return self._module.TensorLocation.DEVICE

    def get_tensor_profile_shape(self: Any, name: str, profile_index: int) -> list[Any]:
        fixed = [list(self._.tensors[name].shape)] * 3
        profiles = self._.facts.profiles
        shapes = profiles[profile_index].get(name, fixed) if profiles else fixed
        return [self._module.Dims(shape) for shape in shapes]

    def is_shape_inference_io(self: Any, name: str) -> bool:
        return False

    def is_debug_tensor(self: Any, name: str) -> bool:
        return False

    def get_device_memory_size_for_profile_v2(self: Any, profile_index: int) -> int:
        return 256

    def get_aliased_input_tensor(self: Any, name: str) -> str | None:
        return None

    def serialize(self: Any) -> Any:
        return new(self._module.IHostMemory, data=self._.plan)

    def create_engine_inspector(self: Any) -> Any:
        return new(self._module.EngineInspector, engine=self)

    def create_runtime_config(self: Any) -> Any:
        return new(self._module.IRuntimeConfig)

    def create_execution_context(
        self: Any, strategy: Any = None, runtime_config: Any = None
    ) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(
            self._.facts.onnx, options, providers=["CPUExecutionProvider"]
        )
        return new(
            self._module.IExecutionContext,
            engine=self,
            logger=self._.logger,
            session=session,
            shapes={},
            addresses={},
            allocators={},
            listener=None,
            name="Unnamed Context 0",
        )


class _EngineInspector:
    def get_engine_information(self: Any, format: Any) -> str:  # noqa: A002
        engine = self._.engine
        layers = [_inspected(self._module, layer, engine) for layer in engine._.layers]
        if format != self._module.LayerInformationFormat.JSON:
            return "\n".join(str(layer) for layer in layers)
        if self._module._bytes[0] == 10:
            return json.dumps({"Layers": layers, "Bindings": list(engine._.tensors)})
        tensors = [_io_tensor(engine, tensor) for tensor in engine._.tensors.values()]
        return json.dumps({"Layers": layers, "I/O Tensors": tensors})

    def get_layer_information(self: Any, layer_index: int, format: Any) -> str:  # noqa: A002
        engine = self._.engine
        return json.dumps(_inspected(self._module, engine._.layers[layer_index], engine))


def _inspected(trt: Any, layer: _Layer, engine: Any) -> Any:
    """A layer's name or, built with detail, its description."""
    if engine._.facts.verbosity != "DETAILED":
        return layer.name

    def described(tensors: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            {"Name": tensor.name, "Dimensions": list(tensor.shape), **_format(trt, tensor.dtype)}
            for tensor in tensors
        ]

    fused = trt._fuses and layer.type.upper() == "SOFTMAX" and ".attend" in layer.name
    return {
        "Name": "_gemm_mha_v2_myl0_7" if fused else layer.name,
        "LayerType": "kgen" if fused else layer.type,
        "Inputs": described(layer.inputs),
        "Outputs": described(layer.outputs),
        "TacticName": f"standin_{layer.type.lower()}",
        "Metadata": f"[ONNX Layer: {layer.name}]",
    }


def _format(trt: Any, dtype: Any) -> dict[str, str]:
    """11 splits what was one entry; Polygraphy reads both (extractors/_trt.py)."""
    words = {"FLOAT": "FP32", "HALF": "FP16"}.get(dtype.name, dtype.name.title())
    if trt._bytes[0] == 10:
        return {"Format/Datatype": f"Row major linear {words} format"}
    name = dtype.name.title()  # Float, Half
    return {"Datatype": name, "Format": f"Row major linear {words} format (kLINEAR)"}


def _io_tensor(engine: Any, tensor: Any) -> dict[str, Any]:
    shapes = [list(shape) for shape in engine.get_tensor_profile_shape(tensor.name, 0)]
    described = _format(engine._module, tensor.dtype)
    named = dict(zip(("MinShape", "OptShape", "MaxShape"), shapes, strict=True))
    return {
        "Name": tensor.name,
        "IOMode": "Input" if tensor.is_network_input else "Output",
        "DataType": described["Datatype"],
        "Dimensions": list(tensor.shape),
        "Location": "Device",
        "IsShapeInferenceIO": False,
        "ProfileInfo": [{**named, "Format": described["Format"]}],
    }


class _IExecutionContext:
    @property
    def active_optimization_profile(self: Any) -> int:
        return 0

    @property
    def all_binding_shapes_specified(self: Any) -> bool:
        return not self.infer_shapes()

    def set_device_memory(self: Any, memory: int, size: int) -> None:
        assert memory, "device memory, asked for and given, has an address"

    def update_device_memory_size_for_shapes(self: Any) -> int:
        return 256

    def set_optimization_profile_async(self: Any, profile_index: int, stream_handle: int) -> bool:
        return bool(0 <= profile_index < self._.engine.num_optimization_profiles)

    def set_input_shape(self: Any, name: str, shape: Any) -> bool:
        least, _, most = self._.engine.get_tensor_profile_shape(name, 0)
        sizes = list(shape)
        fits = len(sizes) == len(least) and all(
            a <= size <= b for a, size, b in zip(least, sizes, most, strict=True)
        )
        if not fits:
            _log(
                self,
                "ERROR",
                "IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check "
                f"failed: {name} takes {least} to {most}, got {sizes})",
            )
            return False
        self._.shapes[name] = sizes
        return True

    def get_tensor_shape(self: Any, name: str) -> Any:
        shape = list(self._.engine.get_tensor_shape(name))
        if name in self._.shapes:
            return self._module.Dims(self._.shapes[name])
        if -1 in shape and self._.shapes and not self._.engine._.tensors[name].is_network_input:
            shape = _inferred(self._.engine._.facts.onnx, self._.shapes, name)
        return self._module.Dims(shape)

    def infer_shapes(self: Any) -> list[str]:
        return [
            tensor.name
            for tensor in self._.engine._.tensors.values()
            if tensor.is_network_input and -1 in list(self.get_tensor_shape(tensor.name))
        ]

    def set_tensor_address(self: Any, name: str, memory: int) -> bool:
        if name not in self._.engine._.tensors:
            _log(self, "ERROR", f"IExecutionContext::setTensorAddress: no tensor {name}")
            return False
        if int(memory) % self._module._alignment:
            _log(self, "ERROR", f"IExecutionContext::setTensorAddress: {name} is not aligned")
            return False
        self._.addresses[name] = int(memory)
        return True

    def get_tensor_address(self: Any, name: str) -> int:
        return cast(int, self._.addresses.get(name, 0))

    def set_output_allocator(self: Any, name: str, output_allocator: Any) -> bool:
        self._.allocators[name] = output_allocator
        return True

    def get_output_allocator(self: Any, name: str) -> Any:
        return self._.allocators.get(name)

    def set_all_tensors_debug_state(self: Any, flag: bool) -> bool:
        return True

    def set_debug_listener(self: Any, listener: Any) -> bool:
        self._.listener = listener
        return True

    def get_debug_listener(self: Any) -> Any:
        return self._.listener

    def execute_async_v3(self: Any, stream_handle: int) -> bool:
        problem = _execution_problem(self)
        if problem is not None:
            _log(self, "ERROR", f"IExecutionContext::enqueueV3: Error Code 3: {problem}")
            return False
        inputs = [
            (tensor, self.get_tensor_address(tensor.name), list(self.get_tensor_shape(tensor.name)))
            for tensor in self._.engine._.tensors.values()
            if tensor.is_network_input
        ]
        outputs = {  # as they are now: addresses that are set later are for later
            output.name: self.get_tensor_address(output.name)
            for output in self._.session.get_outputs()
        }

        def work() -> bool:
            feed = {tensor.name: _read(address, tensor, shape) for tensor, address, shape in inputs}
            made = self._.session.run(list(outputs), feed)
            self._module._record.executed += 1
            return all(
                _deliver(self, name, outputs[name], np.ascontiguousarray(value), int(stream_handle))
                for name, value in zip(outputs, made, strict=True)
            )

        if self._module._enqueue is None:
            return work()
        self._module._enqueue(int(stream_handle), work)
        return True


def _inferred(model: bytes, shapes: dict[str, list[int]], name: str) -> list[int]:
    """An output's shape once the inputs have theirs."""
    proto = onnx.load_model_from_string(model)
    for value in proto.graph.input:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False
        ):
            dim.dim_value = size
    for value in proto.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
    made = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    (output,) = (value for value in made.graph.output if value.name == name)
    return [dim.dim_value or -1 for dim in output.type.tensor_type.shape.dim]


def _execution_problem(context: Any) -> str | None:
    missing = context.infer_shapes()
    if missing:
        return f"API Usage Error (dimensions of {missing[0]} are not set)"
    for name, tensor in context._.engine._.tensors.items():
        allocated = not tensor.is_network_input and name in context._.allocators
        if not allocated and not context.get_tensor_address(name):
            return f"API Usage Error (Address is not set for tensor {name})"
    return None


def _read(address: int, tensor: Any, shape: Sequence[int]) -> NDArray[Any]:
    dtype = np.dtype(_NUMPY[tensor.dtype.name])
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = bytes((ctypes.c_ubyte * size).from_address(address))
    return np.frombuffer(data, dtype).reshape(shape)


def _deliver(context: Any, name: str, address: int, value: NDArray[Any], stream: int) -> bool:
    """Write an output where its allocator says, or to its address."""
    allocator = context._.allocators.get(name)
    if allocator is not None:
        is_async = hasattr(allocator, "reallocate_output_async")
        method = "reallocate_output_async" if is_async else "reallocate_output"
        extra = (stream,) if is_async else ()
        address = _call(
            allocator, method, name, address, value.nbytes, 256, *extra, base="IOutputAllocator"
        )
        if not address:
            _log(context, "ERROR", f"IExecutionContext::enqueueV3: no memory for {name}")
            return False
        shape = context._module.Dims(value.shape)
        _call(allocator, "notify_shape", name, shape, base="IOutputAllocator")
    ctypes.memmove(address, value.ctypes.data, value.nbytes)
    return True


_BEHIND: dict[str, type] = {
    "Builder": _Builder,
    "Dims": _Dims,
    "EngineInspector": _EngineInspector,
    "IBuilderConfig": _IBuilderConfig,
    "ICudaEngine": _ICudaEngine,
    "IExecutionContext": _IExecutionContext,
    "IHostMemory": _IHostMemory,
    "ILogger": _ILogger,
    "INetworkDefinition": _INetworkDefinition,
    "IOptimizationProfile": _IOptimizationProfile,
    "ITimingCache": _ITimingCache,
    "Logger": _Logger,
    "OnnxParser": _OnnxParser,
    "ParserError": _ParserError,
    "Runtime": _Runtime,
}

# Properties that are only kept: their value before anything is set (seen, those of the builder).
_DEFAULTS: dict[str, Any] = {
    "DataType.itemsize": lambda dtype: _BYTES.get(dtype.name),
    "Builder.max_threads": 1,
    "Builder.num_DLA_cores": 0,
    "Builder.platform_has_fast_fp16": True,
    "Builder.platform_has_fast_int8": True,
    "Builder.platform_has_tf32": True,
    "IBuilderConfig.DLA_core": -1,
    "IBuilderConfig.avg_timing_iterations": 1,
    "IBuilderConfig.algorithm_selector": None,
    "IBuilderConfig.builder_optimization_level": 3,
    "IBuilderConfig.default_device_type": lambda c: c._module.DeviceType.GPU,
    "IBuilderConfig.engine_capability": lambda c: c._module.EngineCapability.STANDARD,
    "IBuilderConfig.hardware_compatibility_level": lambda c: (
        c._module.HardwareCompatibilityLevel.NONE
    ),
    "IBuilderConfig.int8_calibrator": None,
    "IBuilderConfig.max_aux_streams": -1,
    "IBuilderConfig.max_num_tactics": -1,
    "IBuilderConfig.profiling_verbosity": lambda self: (
        self._module.ProfilingVerbosity.LAYER_NAMES_ONLY
    ),
    "IBuilderConfig.progress_monitor": None,
    "IBuilderConfig.runtime_platform": lambda c: c._module.RuntimePlatform.SAME_AS_BUILD,
    "ICudaEngine.device_memory_size": 256,
    "ICudaEngine.device_memory_size_v2": 256,
    "ICudaEngine.has_implicit_batch_dimension": False,
    "ICudaEngine.refittable": False,
    "ICudaEngine.streamable_weights_size": 0,
    "ILayer.precision_is_set": False,
    "Runtime.DLA_core": -1,
    "Runtime.engine_host_code_allowed": False,
    "Runtime.max_threads": 1,
}


# --- the CUDA runtime, for Polygraphy -------------------------------------------------------------


class HostCuda:
    """What ``polygraphy.cuda.wrapper()`` returns, on host memory; a stray address is an error."""

    def __init__(self) -> None:
        self.blocks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.streams: set[int] = set()
        self.copied = 0  # bytes

    def create_stream(self) -> int:
        """A handle that is not the default stream's."""
        handle = 1 + max(self.streams, default=0)
        self.streams.add(handle)
        return handle

    def stream_synchronize(self, ptr: int) -> None:
        """Everything has happened already."""
        assert ptr in self.streams, f"{ptr} is no stream"

    def destroy_stream(self, ptr: int) -> None:
        """Forget it."""
        self.streams.remove(ptr)

    def malloc(self, nbytes: int) -> int:
        """Host memory."""
        block = ctypes.create_string_buffer(max(nbytes, 1))
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, ptr: int) -> None:
        """Give it back; as with cudaFree, nothing is nothing."""
        if ptr:
            del self.blocks[ptr]

    def memcpy(
        self, dst: int, src: int, nbytes: int, kind: Any, stream_ptr: int | None = None
    ) -> None:
        """Copy; the side that has to be on the device must lie in a block."""
        to_device, to_host = 1, 2
        for direction, address in ((to_device, dst), (to_host, src)):
            if kind.value == direction:
                assert self._holds(address, nbytes), f"{address:#x} is no device memory"
        ctypes.memmove(dst, src, nbytes)
        self.copied += nbytes

    def _holds(self, address: int, nbytes: int) -> bool:
        return any(
            start <= address and address + nbytes <= start + len(block)
            for start, block in self.blocks.items()
        )
