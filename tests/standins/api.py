"""What TensorRT's Python package has: 10.3 (JetPack 6) and 11.1, derived from the stubs of 10.13.

The stubs (tensorrt-stubs 10.13, unpacked by tools/tensorrt_typings.py) are read as text, not
imported: classes, members, enum values, parameters. Two tables then say what 10.3 did not have yet,
and what 11 took away, added and renumbered. A name that the stubs do not have is an error in the
table, so a table cannot go stale in silence.

Sources, as the tables name them:

    stubs    the published tensorrt-stubs of 10.8, 10.9, ... 10.13, one compared with the next
    v10.5    python/src/infer/pyCore.cpp and include/NvInfer.h of NVIDIA/TensorRT at tag v10.5.0
    v10.6    python/src/infer/pyGraph.cpp at v10.6.0
    v11.1    pyCore.cpp, NvInfer.h and CHANGELOG.md at v11.1
    guide    NVIDIA's migration guides, "Python APIs removed in 11.x"
    RTX      the TensorRT-RTX 1.7.1 wheel, made from the same bindings (pyCore.cpp serves both); it
             lacks what 11 dropped, and plugins, so that its lack of those says nothing

Between 10.3 and 10.5 there was nothing to read but the release notes of 10.3, which bring
RuntimePlatform and ALIASED_PLUGIN_IO_10_03: what 10.5 has is taken for 10.3's.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

STUBS = Path(__file__).parents[2] / ".typings" / "tensorrt_bindings" / "tensorrt.pyi"

Version = Literal["10.3", "11.1"]
VERSIONS: tuple[Version, ...] = ("10.3", "11.1")
Kind = Literal["method", "static", "readable", "writable", "write-only", "value", "class"]

# Names of the module that its own __init__.py adds to the bindings.
ADDED_BY_INIT = ("nptype", "volume", "common_enter", "common_exit")

# The stubs' generator leaves out properties that can only be set; v10.5, v11.1 and RTX have them.
WRITE_ONLY = (
    ("Builder", "gpu_allocator", "IGpuAllocator"),
    ("Runtime", "gpu_allocator", "IGpuAllocator"),
    ("IExecutionContext", "device_memory", "capsule"),
)

# Version: what it has and the one before it, as far as either could be read, has not.
LATER_THAN_10_3: dict[str, tuple[str, ...]] = {
    # v10.6 has add_plugin, for the quickly deployable plugins of that release; v10.5 has none
    "10.6": (
        "INetworkDefinition.add_plugin",
        "IPluginCreatorV3Quick",
        "IPluginV3QuickBuild",
        "IPluginV3QuickCore",
        "IPluginV3QuickRuntime",
    ),
    # v10.5 has only IStreamReader; NVIDIA's samples read engines with V2 from 10.7 on
    "10.7": ("IStreamReaderV2", "SeekPosition"),
    # in the stubs of 10.8; not in v10.5 (core) or v10.6 (graph)
    "10.8": (
        "BuilderFlag.EDITABLE_TIMING_CACHE",
        "BuilderFlag.FP4",
        "BuilderFlag.MONITOR_MEMORY",
        "BuilderFlag.STRICT_NANS",
        "CumulativeOperation",
        "DataType.FP4",
        "IBuilderConfig.l2_limit_for_tiling",
        "IBuilderConfig.tiling_optimization_level",
        "ICumulativeLayer",
        "IDynamicQuantizeLayer",
        "INetworkDefinition.add_cumulative",
        "INetworkDefinition.add_dynamic_quantize",
        "INetworkDefinition.add_squeeze",
        "INetworkDefinition.add_unsqueeze",
        "ISqueezeLayer",
        "ITimingCache.query",
        "ITimingCache.queryKeys",
        "ITimingCache.update",
        "IUnsqueezeLayer",
        "LayerType.CUMULATIVE",
        "LayerType.DYNAMIC_QUANTIZE",
        "LayerType.SQUEEZE",
        "LayerType.UNSQUEEZE",
        "TilingOptimizationLevel",
        "TimingCacheKey",
        "TimingCacheValue",
        "fp4",
    ),
    "10.9": (  # stubs
        "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY",
        "IPluginV3QuickAOTBuild",
        "ISymExpr",
        "ISymExprs",
        "KernelLaunchParams",
        "NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS",
        "NetworkDefinitionCreationFlag.PREFER_JIT_PYTHON_PLUGINS",
        "PluginArgDataType",
        "PluginArgType",
        "QuickPluginCreationRequest",
    ),
    "10.10": (  # stubs
        "IPluginRegistry.all_creators_recursive",
        "PreviewFeature.RUNTIME_ACTIVATION_RESIZE_10_10",
    ),
    "10.11": (  # stubs
        "ICudaEngine.create_runtime_config",
        "IExecutionContext.get_runtime_config",
        "IRuntimeConfig",
        "OnnxParserFlag.ENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA",
    ),
    "10.12": (  # stubs
        "BuilderFlag.DISTRIBUTIVE_INDEPENDENCE",
        "DataType.E8M0",
        "IExecutionContext.unfused_tensors_debug_state",
        "INetworkDefinition.mark_unfused_tensors_as_debug_tensors",
        "INetworkDefinition.unmark_unfused_tensors_as_debug_tensors",
        "e8m0",
    ),
    "10.13": (  # stubs
        "Builder.build_serialized_network_to_stream",
        "IBuilderConfig.remote_auto_tuning_config",
        "IStreamWriter",
        "OnnxParser.load_initializer",
        "OnnxParser.load_model_proto",
        "OnnxParser.parse_model_proto",
        "OnnxParserRefitter.load_initializer",
        "OnnxParserRefitter.load_model_proto",
        "OnnxParserRefitter.refit_model_proto",
    ),
}

GONE_IN_11_1: tuple[str, ...] = (
    # Weak typing: types are in the graph (v11.1, guide)
    "BuilderFlag.FP16",
    "BuilderFlag.BF16",
    "BuilderFlag.INT8",
    "BuilderFlag.FP8",
    "BuilderFlag.INT4",
    "BuilderFlag.FP4",
    "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
    "BuilderFlag.PREFER_PRECISION_CONSTRAINTS",
    "Builder.platform_has_tf32",
    "Builder.platform_has_fast_fp16",
    "Builder.platform_has_fast_int8",
    # ... of layers and tensors (guide; RTX lacks each of these)
    "ILayer.precision",
    "ILayer.precision_is_set",
    "ILayer.reset_precision",
    "ILayer.set_output_type",
    "ILayer.output_type_is_set",
    "ILayer.reset_output_type",
    "INormalizationLayer.compute_precision",
    "ITensor.dynamic_range",
    "ITensor.set_dynamic_range",
    "ITensor.reset_dynamic_range",
    "Refitter.get_dynamic_range",
    "Refitter.set_dynamic_range",
    "Refitter.get_tensors_with_dynamic_range",
    # Calibration (v11.1: IBuilderConfig; guide; RTX lacks the classes)
    "CalibrationAlgoType",
    "IInt8Calibrator",
    "IInt8EntropyCalibrator",
    "IInt8EntropyCalibrator2",
    "IInt8LegacyCalibrator",
    "IInt8MinMaxCalibrator",
    "QuantizationFlag",
    "IBuilderConfig.int8_calibrator",
    "IBuilderConfig.set_calibration_profile",
    "IBuilderConfig.get_calibration_profile",
    "IBuilderConfig.quantization_flags",
    "IBuilderConfig.set_quantization_flag",
    "IBuilderConfig.clear_quantization_flag",
    "IBuilderConfig.get_quantization_flag",
    # Algorithm selection: the editable timing cache took its place (v11.1, guide)
    "IAlgorithm",
    "IAlgorithmContext",
    "IAlgorithmIOInfo",
    "IAlgorithmSelector",
    "IAlgorithmVariant",
    "IBuilderConfig.algorithm_selector",
    "BuilderFlag.REJECT_EMPTY_ALGORITHMS",
    # Deprecated names with a successor, most of them *_v2 (v11.1)
    "BuilderFlag.WEIGHTLESS",
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "ICudaEngine.has_implicit_batch_dimension",
    "ICudaEngine.device_memory_size",
    "ICudaEngine.get_device_memory_size_for_profile",
    "ICudaEngine.create_execution_context_without_device_memory",
    "ICudaEngine.weight_streaming_budget",
    "ICudaEngine.minimum_weight_streaming_budget",
    "IExecutionContext.all_shape_inputs_specified",
    "IStreamReader",
    "PreviewFeature.PROFILE_SHARING_0806",
    "TacticSource.CUBLAS",
    "TacticSource.CUBLAS_LT",
    "TacticSource.CUDNN",
    # ... of the graph, the parser and the registry (guide; RTX lacks each of these)
    "INetworkDefinition.has_implicit_batch_dimension",
    "ITensor.broadcast_across_batch",
    "ITensor.location",
    "IPluginRegistry.get_plugin_creator",
    "IPluginRegistry.plugin_creator_list",
    "OnnxParser.parse_with_weight_descriptors",
    "OnnxParser.supports_model",
    "SubGraphCollection",
)


@dataclass(frozen=True)
class Parameter:
    """One parameter; its type as the stubs write it."""

    name: str
    type: str
    optional: bool
    nullable: bool = False  # None is its default


Overload = tuple[Parameter, ...]


@dataclass(frozen=True)
class Member:
    """An attribute of a class."""

    kind: Kind
    overloads: tuple[Overload, ...] = ()  # of a method or static
    type: str = ""  # of a property or value
    value: int | None = None  # of an enum's member or an integer constant


@dataclass(frozen=True)
class Class:
    """A class: its bases by name and its own members."""

    bases: tuple[str, ...]
    members: Mapping[str, Member]

    @property
    def is_enum(self) -> bool:
        """Whether it is a pybind11 enum."""
        return "__members__" in self.members

    @property
    def values(self) -> dict[str, int]:
        """An enum's members and their numbers."""
        return {
            name: member.value
            for name, member in self.members.items()
            if member.kind == "value" and member.value is not None
        }


@dataclass(frozen=True)
class Surface:
    """Everything a version's module has."""

    classes: Mapping[str, Class]  # nested ones by their dotted name
    functions: Mapping[str, tuple[Overload, ...]]
    aliases: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # float32: DataType.FLOAT

    def __contains__(self, name: str) -> bool:
        owner, _, member = name.rpartition(".")
        if name in self.classes or name in self.functions or name in self.aliases:
            return True
        return owner in self.classes and member in self.classes[owner].members

    def names(self) -> set[str]:
        """Every public name, members as ``Class.member``."""
        members = (
            f"{owner}.{name}"
            for owner, api in self.classes.items()
            for name in api.members
            if not name.startswith("_")
        )
        return {*self.classes, *self.functions, *self.aliases, *members}


def _method(*parameters: Parameter) -> Member:
    return Member("method", (parameters,))


# Class, member: what 11.1 has beyond 10.13, as far as this project could ever touch it.
NEW_IN_11_1: dict[str, dict[str, Member]] = {
    # v11.1; NvInfer.h gives the numbers
    "EngineStat": {
        "__members__": Member("value"),
        "TOTAL_WEIGHTS_SIZE": Member("value", value=0),
        "STRIPPED_WEIGHTS_SIZE": Member("value", value=1),
    },
    "ICudaEngine": {
        "get_aliased_input_tensor": Member(
            "method", ((Parameter("name", "str", optional=False),),)
        ),
        "get_engine_stat": Member("method", ((Parameter("stat", "EngineStat", optional=True),),)),
    },
    "IBuilderConfig": {
        "build_route": Member("writable", type="str"),
        "all_build_routes": Member("readable", type="str"),
    },
    "IExecutionContext": {
        "set_communicator": Member(
            "method", ((Parameter("communicator", "capsule", optional=False),),)
        ),
    },
    "SerializationFlag": {"INCLUDE_REFIT": Member("value", value=2)},
    # CHANGELOG.md of v11.1: 10.15 and 10.16; numbers as in RTX
    "OnnxParserFlag": {
        "REPORT_CAPABILITY_DLA": Member("value", value=2),
        "ENABLE_PLUGIN_OVERRIDE": Member("value", value=3),
        "ADJUST_FOR_DLA": Member("value", value=4),
    },
    # 10.14 (attention) and 10.15 (normalization); NvInfer.h of v11.1 has both
    "INetworkDefinition": {
        "add_attention": _method(),
        "add_normalization_v2": _method(),
    },
}

# NvInfer.h of v11.1; the last two as in RTX. Numbers of the flags that went away stay unused.
RENUMBERED_IN_11_1: dict[str, dict[str, int]] = {
    "NetworkDefinitionCreationFlag": {
        "STRONGLY_TYPED": 0,
        "PREFER_JIT_PYTHON_PLUGINS": 1,
        "PREFER_AOT_PYTHON_PLUGINS": 2,
    },
    "BuilderFlag": {
        "VERSION_COMPATIBLE": 12,
        "EXCLUDE_LEAN_RUNTIME": 13,
        "ERROR_ON_TIMING_CACHE_MISS": 15,
        "DISABLE_COMPILATION_CACHE": 17,
        "STRIP_PLAN": 18,
        "REFIT_IDENTICAL": 19,
        "WEIGHT_STREAMING": 20,
        "REFIT_INDIVIDUAL": 22,
        "STRICT_NANS": 23,
        "MONITOR_MEMORY": 24,
        "EDITABLE_TIMING_CACHE": 26,
        "DISTRIBUTIVE_INDEPENDENCE": 27,
    },
    "PreviewFeature": {"ALIASED_PLUGIN_IO_10_03": 0, "RUNTIME_ACTIVATION_RESIZE_10_10": 1},
    "TacticSource": {"EDGE_MASK_CONVOLUTIONS": 0, "JIT_CONVOLUTIONS": 1},
}


@functools.cache
def surface(version: Version) -> Surface:
    """The names of one version."""
    if version == "10.3":
        made = _without(_stubs(), (name for names in LATER_THAN_10_3.values() for name in names))
    else:
        made = _with(_without(_stubs(), GONE_IN_11_1), NEW_IN_11_1)
        made = _renumbered(made, RENUMBERED_IN_11_1)
    return _consistent(made)


def _without(whole: Surface, names: Iterable[str]) -> Surface:
    classes = {name: dict(api.members) for name, api in whole.classes.items()}
    aliases = dict(whole.aliases)
    for name in names:
        if name not in whole:
            raise KeyError(f"the stubs have no {name}: mend the table")
        owner, _, member = name.rpartition(".")
        if owner:
            del classes[owner][member]
        else:
            classes.pop(name, None)
            aliases.pop(name, None)
    kept = {name: replace(whole.classes[name], members=own) for name, own in classes.items()}
    return replace(whole, classes=kept, aliases=aliases)


def _with(whole: Surface, added: Mapping[str, Mapping[str, Member]]) -> Surface:
    classes = dict(whole.classes)
    for name, members in added.items():
        old = classes.get(name, Class((), {}))
        known = old.members.keys() & members.keys()
        if known:
            raise KeyError(f"the stubs have {name}.{known} already: mend the table")
        classes[name] = replace(old, members={**old.members, **members})
    return replace(whole, classes=classes)


def _renumbered(whole: Surface, numbers: Mapping[str, Mapping[str, int]]) -> Surface:
    classes = dict(whole.classes)
    for name, values in numbers.items():
        members = dict(classes[name].members)
        for value, number in values.items():
            members[value] = replace(members[value], value=number)
        classes[name] = replace(classes[name], members=members)
    return replace(whole, classes=classes)


def _consistent(whole: Surface) -> Surface:
    """Without the overloads and aliases whose classes or values this version does not have."""
    missing = _stubs().classes.keys() - whole.classes.keys()

    def possible(overloads: tuple[Overload, ...]) -> tuple[Overload, ...]:
        return tuple(o for o in overloads if not any(p.type in missing for p in o))

    classes = {
        name: replace(
            api,
            members={
                key: replace(member, overloads=possible(member.overloads))
                for key, member in api.members.items()
            },
        )
        for name, api in whole.classes.items()
    }
    aliases = {k: v for k, v in whole.aliases.items() if v[1] in whole.classes[v[0]].members}
    return replace(whole, classes=classes, aliases=aliases)


@functools.cache
def _stubs() -> Surface:
    """10.13, as the stubs have it, with what they miss."""
    if not STUBS.is_file():
        raise FileNotFoundError(f"no stubs at {STUBS}; run: python tools/tensorrt_typings.py")
    source = STUBS.read_text()
    lines = source.splitlines()
    classes: dict[str, Class] = {}
    functions: dict[str, tuple[Overload, ...]] = dict.fromkeys(ADDED_BY_INIT, ())
    aliases: dict[str, tuple[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            classes.update(_classes(node, lines))
        elif isinstance(node, ast.FunctionDef):
            functions[node.name] = (_overload(node, skip=0),)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            match = re.search(r"<(\w+)\.(\w+): \d+>", lines[node.lineno - 1])
            if match is not None:
                aliases[node.target.id] = (match[1], match[2])
    # tensorrt/__init__.py puts ILogger's in Logger; the stubs show it as if it were another
    del classes["Logger.Severity"]
    own = {**classes["Logger"].members, "Severity": Member("class", type="ILogger.Severity")}
    classes["Logger"] = replace(classes["Logger"], members=own)
    for owner, name, kind in WRITE_ONLY:
        own = {**classes[owner].members, name: Member("write-only", type=kind)}
        classes[owner] = replace(classes[owner], members=own)
    return Surface(classes, functions, aliases)


def _classes(node: ast.ClassDef, lines: list[str], outer: str = "") -> Iterator[tuple[str, Class]]:
    """A class and those inside it."""
    name = f"{outer}{node.name}"
    members: dict[str, Member] = {}
    for item in node.body:
        if isinstance(item, ast.ClassDef):
            members[item.name] = Member("class", type=f"{name}.{item.name}")
            yield from _classes(item, lines, f"{name}.")
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            members[item.target.id] = _annotated(item, lines)
        elif isinstance(item, ast.FunctionDef):
            members[item.name] = _function(item, members.get(item.name))
    yield name, Class(tuple(ast.unparse(base) for base in node.bases), members)


def _annotated(item: ast.AnnAssign, lines: list[str]) -> Member:
    """``name: type`` is a property, ``name: ClassVar[type]  # value = <Type.NAME: 3>`` a value."""
    kind = ast.unparse(item.annotation)
    match = re.fullmatch(r"typing\.ClassVar\[(.*)\]", kind)
    if match is None:
        return Member("writable", type=kind)
    number = re.search(r"#\s*value = <[\w.]+: (-?\d+)>", lines[item.lineno - 1])
    if number is not None:
        return Member("value", type=match[1], value=int(number[1]))
    constant = ast.literal_eval(item.value) if item.value is not None else None
    return Member("value", type=match[1], value=constant)


def _function(item: ast.FunctionDef, before: Member | None) -> Member:
    """A property, or one more overload of a method."""
    decorators = [ast.unparse(decorator) for decorator in item.decorator_list]
    returns = ast.unparse(item.returns) if item.returns is not None else ""
    if "property" in decorators:
        return Member("readable", type=returns)
    if any(decorator.endswith(".setter") for decorator in decorators):
        assert before is not None
        return replace(before, kind="writable")
    static = "staticmethod" in decorators
    overload = _overload(item, skip=0 if static else 1)
    earlier = before.overloads if before is not None else ()
    return Member("static" if static else "method", (*earlier, overload))


def _overload(item: ast.FunctionDef, *, skip: int) -> Overload:
    arguments = item.args.args[skip:]
    defaults = [ast.unparse(default) for default in item.args.defaults]
    padded = [None] * (len(arguments) - len(defaults)) + defaults
    return tuple(
        Parameter(
            argument.arg,
            ast.unparse(argument.annotation) if argument.annotation is not None else "",
            optional=default is not None,
            nullable=default == "None",
        )
        for argument, default in zip(arguments, padded, strict=True)
    )
