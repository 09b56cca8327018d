"""Package ``tensorrt_libs`` beside a release's bindings: loads the layer, and is the runtime in it.

Without a GPU nothing executes a plan, so what the layer tells of each build (the ONNX file, the
profile's bounds, the builder's table of layers) is kept in a folder under the plan's SHA-256, and a
plan is "loaded" by finding it there. Engine, context and inspector are objects whose tables of
virtual functions hold Python functions; executing is ONNX Runtime, from and to the addresses given.
What no test needs ends the process by name.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from ctypes import c_bool, c_char_p, c_float, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any, ClassVar

_HERE = Path(__file__).parent
_SLOTS: dict[str, dict[str, Any]] = json.loads((_HERE / "slots.json").read_text())
_VERSION = tuple(json.loads((_HERE / "version.json").read_text()))
_OLD = _VERSION[0] < 11  # ILogger and IProfiler have their functions first, not fifth
_ENGINES = Path(os.environ.get("EDAFORMER_CLASSIC_ENGINES", _HERE / "engines"))
_ERROR, _LINEAR, _INPUT, _OUTPUT = 1, 0, 1, 2
_WORD = ctypes.sizeof(c_void_p)
_ALIGNMENT = 256  # of a tensor's address, NvInferRuntime.h
_TYPES = {  # ONNX Runtime's word: trt.DataType, bytes
    "tensor(float)": (0, 4), "tensor(float16)": (1, 2), "tensor(uint8)": (5, 1),
    "tensor(int32)": (3, 4), "tensor(int64)": (8, 8),
}  # fmt: skip
_NUMPY = {"tensor(float)": "f4", "tensor(float16)": "f2", "tensor(uint8)": "u1"}
_LAYER = re.compile(
    r"^Name: (.*?), LayerType: (.*?), Inputs: \[(.*?)\], Constants: \[(.*?)\], Outputs: \[(.*?)\], "
    r"TacticName: (.*?), StreamId: (\d+).*?, Metadata: (.*)$",
    re.MULTILINE,
)
_TENSOR = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")


class Dims(ctypes.Structure):
    """nvinfer1::Dims."""

    _fields_ = [("count", c_int32), ("sizes", c_int64 * 8)]

    @classmethod
    def of(cls, sizes: Any) -> Dims:
        made = cls(len(sizes))
        made.sizes[: len(sizes)] = list(sizes)
        return made

    def list(self) -> list[int]:
        return list(self.sizes[: self.count])


enqueue: Callable[[int, Callable[[], bool]], bool] | None = None  # (stream, work); None: at once
executions: list[int] = []  # of this process, by stream
shown: list[Any] | None = None  # what the inspector lists instead of the builder's layers
loaded: list[str] = []  # SHA-256 of each plan that was loaded


def function(key: str, result: Any, *arguments: Any) -> Callable[[Any], Any]:
    """Marks a method as the virtual function that a Python name calls, as slots.json has it."""

    def mark(method: Any) -> Any:
        method.virtual = (key, result, arguments)
        return method

    return mark


class Object:
    """What the bindings hold: {table of destructors, body}; the body is {table}."""

    kind: str
    alive: ClassVar[dict[int, Any]] = {}  # by body
    _tables: ClassVar[dict[type, Any]] = {}

    def __init__(self) -> None:
        table = self._tables.setdefault(type(self), None) or self._make_table()
        self._tables[type(self)] = table
        self.body = (c_void_p * 1)(ctypes.addressof(table))
        body = ctypes.addressof(self.body)
        self.held = (c_void_p * 2)(ctypes.addressof(_DESTRUCTORS) + 2 * _WORD, body)
        self.address = ctypes.addressof(self.held)
        Object.alive[body] = self

    @classmethod
    def _make_table(cls) -> Any:
        table = (c_void_p * 128)()
        names = {(s if isinstance(s, int) else s[0]): name for name, s in _SLOTS[cls.kind].items()}
        kept = [
            ctypes.CFUNCTYPE(c_size_t)(_refusal(cls.kind, names.get(n, str(n)))) for n in range(128)
        ]
        for name in dir(cls):
            virtual = getattr(getattr(cls, name), "virtual", None)
            if virtual is None or virtual[0] not in _SLOTS[cls.kind]:  # this release has it not
                continue
            slot = _SLOTS[cls.kind][virtual[0]]
            kept[slot if isinstance(slot, int) else slot[0]] = _entry(
                getattr(cls, name), *virtual[1:]
            )
        for number, made in enumerate(kept):
            table[number] = ctypes.cast(made, c_void_p).value
        table.kept = kept
        return table


def _refusal(kind: str, name: str) -> Callable[[], int]:
    def refuse() -> int:
        sys.stderr.write(f"classic TensorRT's runtime for tests: {kind}.{name} is not in it\n")
        sys.stderr.flush()
        os.abort()

    return refuse


def _entry(method: Any, result: Any, arguments: tuple[Any, ...]) -> Any:
    """A C function of it; a struct comes back through an address that precedes ``this``."""
    hidden = result is Dims

    def call(*values: Any) -> Any:
        out, this, *rest = values if hidden else (None, *values)
        try:
            made = method(Object.alive[this], *rest)
            if not hidden:
                return made
            ctypes.memmove(out, ctypes.byref(made), ctypes.sizeof(Dims))
        except BaseException:  # noqa: BLE001
            traceback.print_exc()  # nothing may cross NVIDIA's frames
            sys.stderr.flush()
            os.abort()
        return out

    first = (c_void_p, c_void_p) if hidden else (c_void_p,)
    return ctypes.CFUNCTYPE(c_void_p if hidden else result, *first, *arguments)(call)


@ctypes.CFUNCTYPE(None, c_void_p)
def _keep(_: int) -> None:
    pass


@ctypes.CFUNCTYPE(None, c_void_p)
def _delete(held: int) -> None:
    body = (c_void_p * 2).from_address(held)[1]
    Object.alive.pop(body, None)


# Two words before the destructors: no offset, and no type_info for pybind11 to read
_DESTRUCTORS = (c_void_p * 5)(
    0, 0, *(ctypes.cast(made, c_void_p).value for made in (_keep, _delete, _keep))
)


def _virtual(of: int, slot: int, result: Any, *types: Any) -> Any:
    """A function of an object that the application made."""
    table = (c_void_p * 8).from_address(c_void_p.from_address(of).value or 0)
    made = ctypes.CFUNCTYPE(result, c_void_p, *types)(table[slot] or 0)
    return lambda *values: made(of, *values)


def _log(logger: int, text: str) -> None:
    _virtual(logger, 0 if _OLD else 4, None, c_int32, c_char_p)(_ERROR, text.encode())


class Runtime(Object):
    kind = "Runtime"

    def __init__(self, logger: int) -> None:
        super().__init__()
        self.logger = logger

    @function("logger.get", c_void_p)
    def get_logger(self) -> int:
        return self.logger

    @function("deserialize_cuda_engine(serialized_engine)", c_void_p, c_void_p, c_size_t)
    def deserialize(self, data: int, size: int) -> int:
        plan = ctypes.string_at(data, size)
        digest = hashlib.sha256(plan).hexdigest()
        problem = _plan_problem(plan, digest)
        if problem is not None:
            _log(
                self.logger,
                "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization "
                f"assertion {problem})",
            )
            return 0
        loaded.append(digest)
        return Engine(digest, self.logger).address


def _plan_problem(plan: bytes, digest: str) -> str | None:
    """In the words of the real ones; what is damaged deep inside is not in the folder."""
    if len(plan) < 32 or plan[:4] != b"ftrt":
        return "header.magicTag == kEXPECTED_MAGIC_TAG failed."
    if int.from_bytes(plan[16:24], "little") != len(plan):
        return "plan.header.size == blobSize failed."
    if tuple(plan[24:28]) != _VERSION:
        current, other = (".".join(map(str, version)) for version in (_VERSION, plan[24:28]))
        return (
            "stdVersionRead == serializationVersion failed.Version tag does not match. Note: "
            f"Current Version: {current}, Serialized Engine Version: {other}"
        )
    return None if (_ENGINES / f"{digest}.onnx").is_file() else "cursor < blobSize failed."


class Engine(Object):
    kind = "ICudaEngine"

    def __init__(self, digest: str, logger: int) -> None:
        from edaformer.export.runtime import OnnxSession

        super().__init__()
        self.logger = logger
        self.model = (_ENGINES / f"{digest}.onnx").read_bytes()
        self.facts = json.loads((_ENGINES / f"{digest}.json").read_text())
        self.session = OnnxSession(self.model).session
        self.inputs = {value.name.encode() for value in self.session.get_inputs()}
        values = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.tensors = {value.name.encode(): value for value in values}
        self.names = [ctypes.create_string_buffer(name) for name in self.tensors]

    def shape(self, name: bytes) -> list[int]:
        return [side if isinstance(side, int) else -1 for side in self.tensors[name].shape]

    def bounds(self, name: bytes) -> list[list[int]]:
        """Least, best, most."""
        given: list[list[int]] | None = self.facts["bounds"].get(name.decode())
        return given or [self.shape(name)] * 3

    @function("num_io_tensors.get", c_int32)
    def count(self) -> int:
        return len(self.tensors)

    @function("get_tensor_name(index)", c_void_p, c_int32)
    def name(self, index: int) -> int:
        return ctypes.addressof(self.names[index]) if 0 <= index < len(self.names) else 0

    @function("get_tensor_mode(name)", c_int32, c_char_p)
    def mode(self, name: bytes) -> int:
        return 0 if name not in self.tensors else _INPUT if name in self.inputs else _OUTPUT

    @function("get_tensor_shape(name)", Dims, c_char_p)
    def get_shape(self, name: bytes) -> Dims:
        return Dims.of(self.shape(name)) if name in self.tensors else Dims(-1)

    @function("get_tensor_dtype(name)", c_int32, c_char_p)
    def dtype(self, name: bytes) -> int:
        return _TYPES[self.tensors[name].type][0]

    @function("get_tensor_profile_shape(name,profile_index)", Dims, c_char_p, c_int32, c_int32)
    def profile_shape(self, name: bytes, profile: int, which: int) -> Dims:
        return Dims.of(self.bounds(name)[which])

    @function("get_tensor_format(name)", c_int32, c_char_p)
    def format(self, name: bytes) -> int:
        return _LINEAR

    @function("get_tensor_format(name,profile_index)", c_int32, c_char_p, c_int32)
    def format_of_profile(self, name: bytes, profile: int) -> int:
        return _LINEAR

    @function("get_tensor_location(name)", c_int32, c_char_p)
    def location(self, name: bytes) -> int:
        return 0  # on the device

    @function("is_shape_inference_io(name)", c_bool, c_char_p)
    def is_shape(self, name: bytes) -> bool:
        return False

    @function("is_debug_tensor(name)", c_bool, c_char_p)
    def is_debug(self, name: bytes) -> bool:
        return False

    @function("get_aliased_input_tensor(name)", c_void_p, c_char_p)
    def aliased(self, name: bytes) -> int:
        return 0

    @function("num_optimization_profiles.get", c_int32)
    def profiles(self) -> int:
        return 1

    @function("get_device_memory_size_for_profile_v2(profile_index)", c_int64, c_int32)
    def memory_size(self, profile: int) -> int:
        return 256

    @function("create_execution_context(strategy)", c_void_p, c_int32)
    def make_context(self, strategy: int) -> int:
        return Context(self).address

    @function("create_engine_inspector()", c_void_p)
    def make_inspector(self) -> int:
        return Inspector(self.facts["layers"] if shown is None else shown).address


class Inspector(Object):
    kind = "EngineInspector"

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.text = ctypes.create_string_buffer(json.dumps({"Layers": layers}).encode())

    @function("get_engine_information(format)", c_void_p, c_int32)
    def information(self, format_: int) -> int:
        assert format_ == 1, "expected LayerInformationFormat.JSON"
        return ctypes.addressof(self.text)


class Context(Object):
    kind = "IExecutionContext"

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.shapes: dict[bytes, list[int]] = {}
        self.addresses: dict[bytes, int] = {}
        self.allocators: dict[bytes, int] = {}
        self.profiler = 0

    @function("engine.get", c_void_p)
    def get_engine(self) -> int:
        return self.engine.address

    @function("set_input_shape(name,shape)", c_bool, c_char_p, c_void_p)
    def set_shape(self, name: bytes, dims: int) -> bool:
        sizes = Dims.from_address(dims).list()
        least, _, most = self.engine.bounds(name)
        fits = len(sizes) == len(least) and all(
            low <= size <= high for low, size, high in zip(least, sizes, most, strict=True)
        )
        if not fits:
            return self._usage(
                f"setInputShape: Error Code 3: API Usage Error (Parameter check failed: "
                f"{name.decode()} takes {least} to {most}, got {sizes})"
            )
        self.shapes[name] = sizes
        return True

    def _usage(self, text: str) -> bool:
        _log(self.engine.logger, f"IExecutionContext::{text}")
        return False

    def shape(self, name: bytes) -> list[int]:
        shape = self.shapes.get(name, self.engine.shape(name))
        if -1 in shape and name not in self.engine.inputs and self.shapes:
            return _inferred(self.engine.model, self.shapes, name.decode())
        return shape

    @function("get_tensor_shape(name)", Dims, c_char_p)
    def get_shape(self, name: bytes) -> Dims:
        return Dims.of(self.shape(name)) if name in self.engine.tensors else Dims(-1)

    @function("set_tensor_address(name,memory)", c_bool, c_char_p, c_void_p)
    def set_address(self, name: bytes, memory: int | None) -> bool:
        if name not in self.engine.tensors:
            return self._usage(f"setTensorAddress: no tensor {name.decode()}")
        if (memory or 0) % _ALIGNMENT:
            return self._usage(f"setTensorAddress: {name.decode()} is not aligned")
        self.addresses[name] = memory or 0
        return True

    @function("get_tensor_address(name)", c_void_p, c_char_p)
    def get_address(self, name: bytes) -> int:
        return self.addresses.get(name, 0)

    @function("set_output_allocator(name,output_allocator)", c_bool, c_char_p, c_void_p)
    def set_allocator(self, name: bytes, allocator: int | None) -> bool:
        self.allocators[name] = allocator or 0
        return True

    @function("profiler.set", None, c_void_p)
    def set_profiler(self, profiler: int | None) -> None:
        self.profiler = profiler or 0

    @function("profiler.get", c_void_p)
    def get_profiler(self) -> int:
        return self.profiler

    @function("active_optimization_profile.get", c_int32)
    def profile(self) -> int:
        return 0

    @function(
        "set_optimization_profile_async(profile_index,stream_handle)", c_bool, c_int32, c_void_p
    )
    def set_profile(self, index: int, stream: int) -> bool:
        return index == 0

    @function("all_binding_shapes_specified.get", c_bool)
    def specified(self) -> bool:
        return all(-1 not in self.shape(name) for name in self.engine.inputs)

    @function("set_all_tensors_debug_state(flag)", c_bool, c_bool)
    def set_debug(self, flag: bool) -> bool:
        return True

    @function("set_debug_listener(listener)", c_bool, c_void_p)
    def set_listener(self, listener: int | None) -> bool:
        return True  # there are no debug tensors

    @function("update_device_memory_size_for_shapes()", c_size_t)
    def update_memory(self) -> int:
        return 256

    @function("set_device_memory(memory,size)", None, c_void_p, c_int64)
    def set_memory(self, memory: int | None, size: int) -> None:
        assert memory, "device memory, asked for and given, has an address"

    @function("execute_async_v3(stream_handle)", c_bool, c_void_p)
    def execute(self, stream: int | None) -> bool:
        for name in self.engine.tensors:
            if name in self.engine.inputs and -1 in self.shape(name):
                return self._usage(f"enqueueV3: dimensions of {name.decode()} are not set")
            if not self.addresses.get(name) and not self.allocators.get(name):
                return self._usage(f"enqueueV3: Address is not set for tensor {name.decode()}")
        # as they are now: what is set later is for later
        shapes = {name: self.shape(name) for name in self.engine.inputs}
        addresses, allocators = dict(self.addresses), dict(self.allocators)
        work = lambda: self._work(shapes, addresses, allocators, stream or 0)  # noqa: E731
        if enqueue is None:
            return work()
        enqueue(stream or 0, work)
        return True

    def _work(
        self,
        shapes: dict[bytes, list[int]],
        addresses: dict[bytes, int],
        allocators: dict[bytes, int],
        stream: int,
    ) -> bool:
        import numpy as np

        start, feed = time.perf_counter(), {}
        for name, shape in shapes.items():
            dtype = np.dtype(_NUMPY[self.engine.tensors[name].type])
            data = ctypes.string_at(addresses[name], math.prod(shape) * dtype.itemsize)
            feed[name.decode()] = np.frombuffer(data, dtype).reshape(shape)
        outputs = self.engine.session.get_outputs()
        for output, value in zip(outputs, self.engine.session.run(None, feed), strict=True):
            name, made = output.name.encode(), np.ascontiguousarray(value)
            address = addresses.get(name, 0)
            if allocators.get(name):
                address = self._allocate(allocators[name], name, address, made, stream)
            if not address:
                return self._usage(f"enqueueV3: no memory for {output.name}")
            ctypes.memmove(address, made.ctypes.data, made.nbytes)
        executions.append(stream)
        if self.profiler:
            report = _virtual(self.profiler, 0 if _OLD else 4, None, c_char_p, c_float)
            report(b"the whole network", (time.perf_counter() - start) * 1e3)
        return True

    @staticmethod
    def _allocate(allocator: int, name: bytes, address: int, value: Any, stream: int) -> int:
        """IOutputAllocator: function 5 is reallocateOutputAsync, 6 notifyShape."""
        types = (c_char_p, c_void_p, c_size_t, c_size_t, c_void_p)
        reallocate = _virtual(allocator, 5, c_void_p, *types)
        made: int = reallocate(name, address, value.nbytes, _ALIGNMENT, stream) or 0
        dims = Dims.of(value.shape)
        _virtual(allocator, 6, None, c_char_p, c_void_p)(name, ctypes.addressof(dims))
        return made


def _inferred(model: bytes, shapes: dict[bytes, list[int]], name: str) -> list[int]:
    """An output's shape once the inputs have theirs."""
    import onnx

    proto = onnx.load_model_from_string(model)
    for value in proto.graph.input:
        given = shapes.get(value.name.encode(), [])
        for dim, size in zip(value.type.tensor_type.shape.dim, given, strict=False):
            dim.dim_value = size
    for value in proto.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()
    made = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    (output,) = (value for value in made.graph.output if value.name == name)
    return [dim.dim_value or -1 for dim in output.type.tensor_type.shape.dim]


@ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p, c_size_t, c_char_p, c_char_p)
def _built(plan: int, size: int, model: int, model_size: int, layers: bytes, bounds: bytes) -> None:
    """Keep what a plan needs to run here."""
    _ENGINES.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(ctypes.string_at(plan, size)).hexdigest()
    shapes: dict[str, list[list[int]]] = {}
    for line in bounds.decode().splitlines():  # input, which of the three, its sizes
        name, which, *sizes = line.split()
        shapes.setdefault(name, [[], [], []])[int(which)] = [int(side) for side in sizes]
    facts = {
        "bounds": shapes,
        "layers": [_described(*row) for row in _LAYER.findall(layers.decode())],
    }
    (_ENGINES / f"{digest}.onnx").write_bytes(ctypes.string_at(model, model_size))
    (_ENGINES / f"{digest}.json").write_text(json.dumps(facts))


def _described(
    name: str,
    kind: str,
    inputs: str,
    constants: str,
    outputs: str,
    tactic: str,
    stream: str,
    nodes: str,
) -> dict[str, Any]:
    """A line of TensorRT-RTX's table as the inspector's JSON; 11.x splits a tensor's format."""

    def tensors(text: str) -> list[dict[str, Any]]:
        return [
            {"Dimensions": [int(side) for side in sides.split(",") if side]}
            | ({"Format/Datatype": f"Row major linear {dtype} format"} if _OLD
               else {"Datatype": dtype, "Format": "Linear"})
            for sides, dtype in _TENSOR.findall(text)
        ]  # fmt: skip

    return {
        "Name": name, "LayerType": kind, "Inputs": tensors(inputs + constants),
        "Outputs": tensors(outputs), "TacticName": tactic, "StreamId": int(stream),
        "Metadata": nodes,
    }  # fmt: skip


@ctypes.CFUNCTYPE(c_void_p, c_void_p)
def _make_runtime(logger: int) -> int:
    return Runtime(logger).address


def _load() -> None:
    """The layer and two empty libraries, local: tensorrt_rtx has functions of the same names."""
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    assert spec is not None, "TensorRT-RTX's libraries are not installed"
    (folder,) = spec.submodule_search_locations or [""]
    os.environ["EDAFORMER_CLASSIC_RTX"] = folder
    layer = next(_HERE.glob("libnvinfer.so.*"))
    library = ctypes.CDLL(str(layer), mode=ctypes.RTLD_LOCAL)
    others = [path for path in _HERE.glob("lib*.so.*") if path != layer]
    _KEPT.extend([library, *(ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL) for path in others)])
    library.classic_hooks(_built, _make_runtime)


_KEPT: list[Any] = []
_load()
