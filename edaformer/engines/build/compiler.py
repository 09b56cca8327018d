"""From an ONNX file to a plan's bytes and their proof: one strongly typed path.

The network is made with TensorRT's own API rather than Polygraphy's loaders, which branch on
version numbers, always attach a timing cache (deprecated in TensorRT-RTX) and report a parse
failure without its nodes. Polygraphy serves where the engine runs (edaformer.engines.segmenters).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.engines.artifact.proof import prove_from_inspector, prove_from_log
from edaformer.errors import BuildError, InputError
from edaformer.machine import backend
from edaformer.machine.backend import Backend, trt
from edaformer.manifest import Bounds, Manifest, Proof, network_name

Size = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class BuildOptions:
    """How to build."""

    backend: str = "auto"
    compute_capabilities: tuple[str, ...] = ()  # such as "8.6"; TensorRT-RTX only
    workspace: float | None = None  # GiB of scratch memory; None: the builder's default
    timing_cache: Path | None = None  # read where it exists, written afterwards; TensorRT only
    batches: tuple[int, int, int] | None = None  # least, best, most of a dynamic batch
    sizes: tuple[Size, Size, Size] | None = None  # of a dynamic size, each (H, W)
    allow_unfused: bool = False  # write the plan even where attention or FP16 did not come out
    against: Path | None = None  # the plan of eight bits' FP16 twin; None: it is built beside it
    even_if_heavier: bool = False  # write the plan even where eight bits do not pay
    weigh: bool = True  # eight bits against their twin, before the plan is written

    @property
    def workspace_bytes(self) -> int | None:
        """``workspace`` in bytes."""
        return None if self.workspace is None else int(self.workspace * 2**30)


@dataclass(frozen=True)
class Compiled:
    """What the builder gave."""

    plan: bytes
    proof: Proof | None  # None where TensorRT tells nothing of its layers
    flags: tuple[str, ...]  # as recorded
    warnings: tuple[str, ...]  # TensorRT's, as recorded
    seconds: float  # the builder's own
    timings: bytes  # the timing cache, where one was asked for


def compile_network(
    onnx: Path,
    chosen: Backend,
    options: BuildOptions,
    manifest: Manifest,
    *,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Compiled:
    """Build ``onnx``, which ``manifest`` describes, with options that are known to fit it.

    Args:
        onnx: the graph.
        chosen: what ``backend.use`` returned.
        options: how.
        manifest: names the network and its input, and what the proof looks for.
        on_progress: told a phase, steps done and steps in all.

    Raises:
        BuildError: if TensorRT refuses the network or cannot build it.
        InputError: if the timing cache is another GPU's or version's.
        MissingError: without a CUDA driver that TensorRT can use.
    """
    logger = backend.make_logger()
    builder, network = _parse(onnx, logger)
    network.name = network_name(manifest)
    config, flags = _configure(builder, options, manifest)
    start = time.perf_counter()
    with _interruptible(config, on_progress):
        built = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - start
    if built is None:
        raise BuildError(f"{chosen.flavour} could not build {onnx}: {backend.last_errors(logger)}")
    plan = bytes(built)
    proof = _prove(plan, logger, chosen, manifest)
    timings = config.get_timing_cache().serialize() if options.timing_cache is not None else b""
    return Compiled(plan, proof, flags, tuple(logger.warnings), seconds, bytes(timings))


def bounds_of(options: BuildOptions, manifest: Manifest) -> Bounds | None:
    """The input's bounds, or None where nothing is dynamic."""
    if options.batches is None and options.sizes is None:
        return None
    fixed = manifest.input.batch or 1
    batches = options.batches or (fixed, fixed, fixed)
    sizes = options.sizes or (manifest.size, manifest.size, manifest.size)
    least, best, most = ((b, *size) for b, size in zip(batches, sizes, strict=True))
    return Bounds(least=least, best=best, most=most)


def _prove(plan: bytes, logger: Any, chosen: Backend, manifest: Manifest) -> Proof | None:
    """From the builder's log where it tells, else from the inspector; None where neither does."""
    if logger.layers is not None:
        return prove_from_log(logger.layers, logger.facts, manifest)
    if not chosen.times_kernels:
        logger.warnings.append("the builder logged no layer table: the engine is not proven")
        return None
    engine = backend.create(trt.Runtime, logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise BuildError(
            f"{chosen.flavour} cannot load the plan it built: {backend.last_errors(logger)}"
        )
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return prove_from_inspector(text, logger.facts, manifest)


def _parse(onnx: Path, logger: Any) -> tuple[trt.Builder, trt.INetworkDefinition]:
    builder = backend.create(trt.Builder, logger)
    flags = 0
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    if typed is not None:  # kept up to 11.x, where it is the only way and the flag is ignored
        flags |= 1 << int(typed)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    parsed: object = parser.parse_from_file(str(onnx))  # the stubs mistake trt.bool for bool
    if not parsed:
        problems = [_describe(parser.get_error(index)) for index in range(parser.num_errors)]
        raise BuildError(f"TensorRT cannot parse {onnx}: {'; '.join(problems[:3])}")
    return builder, network


def _describe(error: trt.ParserError) -> str:
    node = error.node_name() if hasattr(error, "node_name") else f"node {error.node()}"
    return f"{node}: {error.desc()}" if node else error.desc()


def _configure(
    builder: trt.Builder, options: BuildOptions, manifest: Manifest
) -> tuple[trt.IBuilderConfig, tuple[str, ...]]:
    """The builder configuration and the flags worth recording."""
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    flags = ["STRONGLY_TYPED", "PROFILING_DETAILED"]
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: FP32 would then be 10-bit
        flags.append("NO_TF32")
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # TensorRT-RTX
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # or no CUDA graph captures it
        flags.append("REQUIRE_USER_ALLOCATION")
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.compute_capabilities:
        _set_targets(config, options.compute_capabilities)
    if options.timing_cache is not None:
        _set_timing_cache(config, options.timing_cache)
    bounds = bounds_of(options, manifest)
    if bounds is not None:
        _add_profile(builder, config, manifest, bounds)
    return config, tuple(flags)


def _set_targets(config: Any, capabilities: tuple[str, ...]) -> None:
    """TensorRT-RTX only, hence not in the stubs."""
    kinds: Any = vars(backend).get("trt")
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        name = "CURRENT" if capability == "current" else "SM" + capability.replace(".", "")
        config.set_compute_capability(getattr(kinds.ComputeCapability, name), index)


def _set_timing_cache(config: trt.IBuilderConfig, path: Path) -> None:
    """Attach the cache; what TensorRT cannot read it takes for an empty one, with a log line."""
    data = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(data)
    empty = bytes(config.create_timing_cache(b"").serialize())
    unread = data not in {b"", empty} and bytes(cache.serialize()) == empty
    if unread or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise InputError(
            f"the timing cache {path} is another GPU's or version's; delete or rename it"
        )


def _add_profile(
    builder: trt.Builder, config: trt.IBuilderConfig, manifest: Manifest, bounds: Bounds
) -> None:
    profile = builder.create_optimization_profile()
    nhwc = manifest.input.layout == "NHWC"
    shapes = [
        (batch, height, width, 3) if nhwc else (batch, 3, height, width)
        for batch, height, width in (bounds.least, bounds.best, bounds.most)
    ]
    profile.set_shape(manifest.input.name, *shapes)  # type: ignore[arg-type]
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(f"TensorRT refuses inputs of {shapes[0]} to {shapes[2]} for this network")


@contextmanager
def _interruptible(
    config: trt.IBuilderConfig, on_progress: Callable[[str, int, int], None]
) -> Iterator[None]:
    """Report progress, and let Ctrl-C end a build between two steps instead of after it.

    An exception must not cross the builder's C++ frames, so the signal only sets a flag.
    """
    stopped = threading.Event()
    raised: list[Exception] = []

    def report(phase: str, done: int, total: int) -> None:
        try:
            on_progress(phase, done, total)
        except Exception as error:  # noqa: BLE001 - raised again once TensorRT has returned
            raised.append(error)
            stopped.set()

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(  # the names are NVIDIA's: pybind passes them by position
            self,
            phase_name: str,
            parent_phase: str | None,  # noqa: ARG002
            num_steps: int,
        ) -> None:
            self.steps[phase_name] = num_steps
            report(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            report(phase_name, step + 1, self.steps.get(phase_name, 0))
            return not stopped.is_set()

        def phase_finish(self, phase_name: str) -> None:
            steps = self.steps.pop(phase_name, 0)
            report(phase_name, steps, steps)

    config.progress_monitor = Monitor()
    in_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, lambda *_: stopped.set()) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, previous)
    if raised:
        raise raised[0]
    if stopped.is_set():
        raise KeyboardInterrupt
