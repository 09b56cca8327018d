"""Build a plan from an exported ONNX file: one strongly typed path for every TensorRT.

The network is made with TensorRT's own API rather than Polygraphy's loaders, which branch on
version numbers, always attach a timing cache (deprecated in TensorRT-RTX) and report a parse
failure without its nodes. Polygraphy serves where the engine runs (edaformer.engines.segmenters).
"""

from __future__ import annotations

import hashlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.engines import backend
from edaformer.engines.backend import Backend, trt
from edaformer.engines.onnx_file import read_onnx_manifest
from edaformer.engines.plan import sidecar_path, write_plan
from edaformer.engines.proof import failures, prove_from_inspector, prove_from_log, summarise
from edaformer.errors import BuildError, GateError, InputError
from edaformer.files import check_writable, sha256, write_whole
from edaformer.gpu import query_gpu
from edaformer.manifest import Bounds, EngineRecord, Manifest, Proof, Written, network_name
from edaformer.preprocess import ALIGN, MAX_SIDE, format_size
from edaformer.variants import get_variant

_log = logging.getLogger(__name__)
Size = tuple[int, int]  # (H, W)
_ON_DEVICE = "build on the device with --backend tensorrt"


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

    @property
    def workspace_bytes(self) -> int | None:
        """``workspace`` in bytes."""
        return None if self.workspace is None else int(self.workspace * 2**30)


@dataclass(frozen=True)
class BuildResult(Written):
    """The plan that was written; the seconds are the builder's."""

    @property
    def record(self) -> EngineRecord:
        """How it was built."""
        assert self.manifest.engine is not None
        return self.manifest.engine

    def to_json(self) -> dict[str, Any]:
        """Path, hash, seconds, manifest and the figures of the proof."""
        variant = get_variant(self.manifest.variant)
        return super().to_json() | summarise(self.record.proof, variant)


def build_engine(
    onnx: Path,
    path: Path,
    options: BuildOptions | None = None,
    *,
    on_start: Callable[[Backend], None] = lambda _: None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> BuildResult:
    """Build ``onnx`` into ``path``, with ``path``.json beside it.

    Args:
        onnx: a file that edaformer-export wrote.
        path: the plan.
        options: how; None takes the defaults.
        on_start: told which backend was chosen.
        on_progress: told a phase, steps done and steps in all.

    Raises:
        InputError: if the file, an option or the output does not fit.
        BuildError: if TensorRT refuses the network or cannot build it.
        GateError: if attention is not fused, or FP16 was asked for and FP32 came out.
        MissingError: if the backend is not here.
    """
    options = options or BuildOptions()
    manifest = read_onnx_manifest(onnx)
    check_writable(path, onnx)
    check_writable(sidecar_path(path), onnx)
    chosen = backend.use(options.backend)
    _check_options(options, chosen, manifest)
    if options.timing_cache is not None:
        check_writable(options.timing_cache, onnx, path, sidecar_path(path))
    on_start(chosen)
    logger = backend.make_logger()
    builder, network = _parse(onnx, logger)
    manifest = manifest.model_copy(update={"onnx_sha256": sha256(onnx)})
    network.name = network_name(manifest)
    config, flags = _configure(builder, options, manifest)
    if options.allow_unfused:
        flags = (*flags, "ALLOW_UNFUSED")
    start = time.perf_counter()
    with _interruptible(config, on_progress):
        plan = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - start
    if plan is None:
        raise BuildError(f"{chosen.flavour} could not build {onnx}: {backend.last_errors(logger)}")
    data = bytes(plan)
    proof = _prove(data, logger, chosen, manifest)
    _gate(proof, manifest, options)
    record = EngineRecord(
        flavour=chosen.flavour,
        version=chosen.version,
        compute_capabilities=options.compute_capabilities,
        flags=flags,
        workspace_bytes=options.workspace_bytes,
        warnings=tuple(logger.warnings),
        plan_sha256=hashlib.sha256(data).hexdigest(),
        plan_bytes=len(data),
        bounds=_bounds(options, manifest),
        gpu=_gpu(chosen),
        proof=proof,
    )
    manifest = manifest.model_copy(update={"engine": record})
    write_plan(path, data, manifest)
    if options.timing_cache is not None:
        write_whole(options.timing_cache, bytes(config.get_timing_cache().serialize()))
    return BuildResult(path, record.plan_sha256, seconds, manifest)


def _gpu(chosen: Backend) -> str | None:
    """The GPU an engine is tied to; TensorRT-RTX is tied to none."""
    gpu = query_gpu() if chosen.times_kernels else None
    return None if gpu is None else f"{gpu.name}, compute capability {gpu.compute_capability}"


def _prove(plan: bytes, logger: Any, chosen: Backend, manifest: Manifest) -> Proof | None:
    """From the builder's log where it tells, else from the inspector; None where neither does."""
    if logger.layers is not None:
        return prove_from_log(logger.layers, logger.facts, manifest)
    if not chosen.times_kernels:
        logger.warnings.append("the builder logged no layer table: the engine is not proven")
        return None
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise BuildError(
            f"{chosen.flavour} cannot load the plan it built: {backend.last_errors(logger)}"
        )
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return prove_from_inspector(text, logger.facts, manifest)


def _gate(proof: Proof | None, manifest: Manifest, options: BuildOptions) -> None:
    problems = failures(proof, manifest) if proof is not None else []
    if not problems or options.allow_unfused:
        return
    advice = "its maps may be too small, or its query count have no divisor"
    if "group-queries" not in (manifest.rewrites or ()):
        advice = "export again with the default rewrites"
    raise GateError(
        f"{'; '.join(problems)}; nothing was written; {advice}. To keep such an engine: "
        "--allow-unfused"
    )


def parse_compute_capabilities(text: str) -> tuple[str, ...]:
    """Read ``8.6,8.9``.

    Raises:
        InputError: if it is not a list of major.minor.
    """
    parts = tuple(part.strip() for part in text.split(","))
    for part in parts:
        major, dot, minor = part.partition(".")
        if part != "current" and not (dot and major.isdecimal() and minor.isdecimal()):
            raise InputError(f"expected compute capabilities like 8.6,8.9 or current, got '{text}'")
    return parts


def _check_options(options: BuildOptions, chosen: Backend, manifest: Manifest) -> None:
    """Refuse what the chosen backend would ignore."""
    if options.workspace is not None and not 0 < options.workspace <= 1024:
        raise InputError(
            f"expected --workspace in GiB, above 0 and up to 1024, got {options.workspace:g}"
        )
    if options.timing_cache is not None and not chosen.times_kernels:
        raise InputError(
            f"--timing-cache has no effect on {chosen.flavour}, which times no kernels while "
            "building; leave it out, or use --backend tensorrt"
        )
    if options.compute_capabilities and not chosen.compute_capabilities:
        raise InputError(
            f"--compute-capability has no effect on {chosen.flavour}, which builds for the GPU it "
            "runs on; leave it out, or use --backend tensorrt-rtx"
        )
    known = (*chosen.compute_capabilities, "current")
    for capability in options.compute_capabilities:
        if capability not in known:
            raise InputError(
                f"{chosen.flavour} cannot target compute capability {capability} (it can: "
                f"{', '.join(chosen.compute_capabilities)}); {_ON_DEVICE}"
            )
    check_bounds(options, manifest)


def check_bounds(options: BuildOptions, manifest: Manifest) -> Bounds | None:
    """The input's bounds, or None where nothing is dynamic.

    Raises:
        InputError: if one that is needed is missing, is not needed, or does not fit.
    """
    _check_bounds_given(options, manifest)
    _check_batches(options, manifest)
    _check_sizes(options, manifest)
    return _bounds(options, manifest)


def _check_bounds_given(options: BuildOptions, manifest: Manifest) -> None:
    """Whatever is dynamic needs bounds; all that is missing is named in one line to type."""
    missing, line = [], []
    if manifest.input.batch is None and options.batches is None:
        missing.append("batch")
        line.append("--min-batch 1 --opt-batch 1 --max-batch 4")
    if manifest.input.dynamic_size and options.sizes is None:
        best = manifest.size
        least = (min(256, best[0]), min(256, best[1]))
        most = (max(1024, best[0]), max(2048, best[1]))
        missing.append("size")
        line.append(
            f"--min-size {format_size(least)} --opt-size {format_size(best)} "
            f"--max-size {format_size(most)}"
        )
    if missing:
        raise InputError(
            f"the model has a dynamic {' and '.join(missing)} and needs bounds; add for example: "
            f"{' '.join(line)}"
        )


def _check_batches(options: BuildOptions, manifest: Manifest) -> None:
    if manifest.input.batch is not None and options.batches is not None:
        raise InputError(
            f"the model has a fixed batch of {manifest.input.batch}; leave out "
            "--min-batch, --opt-batch and --max-batch, or export with --batch dynamic"
        )
    if options.batches is not None:
        least, best, most = options.batches
        if not 1 <= least <= best <= most:
            raise InputError(f"expected 1 <= min <= opt <= max batch, got {least}, {best}, {most}")


def _check_sizes(options: BuildOptions, manifest: Manifest) -> None:
    if not manifest.input.dynamic_size and options.sizes is not None:
        raise InputError(
            f"the model has a fixed size of {format_size(manifest.size)}; leave out "
            "--min-size, --opt-size and --max-size, or export with --size dynamic"
        )
    if options.sizes is None:
        return
    shown = ", ".join(map(format_size, options.sizes))
    if any(side % ALIGN or side > MAX_SIDE for size in options.sizes for side in size):
        raise InputError(
            f"a dynamic size takes multiples of {ALIGN} up to {MAX_SIDE}, got {shown}; round them"
        )
    least, best_size, most = options.sizes
    if not all(a <= b <= c for a, b, c in zip(least, best_size, most, strict=True)):
        raise InputError(f"expected min <= opt <= max size in height and width, got {shown}")
    manifest.isr_value.check_fits(*least)


def _bounds(options: BuildOptions, manifest: Manifest) -> Bounds | None:
    if options.batches is None and options.sizes is None:
        return None
    fixed = manifest.input.batch or 1
    batches = options.batches or (fixed, fixed, fixed)
    sizes = options.sizes or (manifest.size, manifest.size, manifest.size)
    least, best, most = ((b, *size) for b, size in zip(batches, sizes, strict=True))
    return Bounds(least=least, best=best, most=most)


def _parse(onnx: Path, logger: Any) -> tuple[trt.Builder, trt.INetworkDefinition]:
    builder = trt.Builder(logger)
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
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.compute_capabilities:
        _set_targets(config, options.compute_capabilities)
    if options.timing_cache is not None:
        _set_timing_cache(config, options.timing_cache)
    bounds = _bounds(options, manifest)
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
