"""Build a plan from an exported ONNX file: check what goes in, gate and record what comes out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.artifact.plan import read_header, sidecar_path, write_plan
from edaformer.engines.artifact.proof import failures, summarise
from edaformer.engines.build.compiler import BuildOptions, bounds_of, compile_network
from edaformer.engines.build.weigh import Weighed, weigh
from edaformer.errors import GateError, InputError
from edaformer.files import check_writable, sha256, write_whole
from edaformer.labels.witness import copy_witness
from edaformer.machine import backend
from edaformer.machine.backend import Backend
from edaformer.machine.gpu import FP8_FROM, query_gpu, runs_fp8
from edaformer.manifest import Bounds, EngineRecord, Manifest, Proof, Written
from edaformer.preprocess import ALIGN, MAX_SIDE, format_size

_log = logging.getLogger(__name__)
_ON_DEVICE = "build on the device with --backend tensorrt"


@dataclass(frozen=True)
class BuildResult(Written):
    """The plan that was written; the seconds are the builder's."""

    weighed: Weighed | None = None  # of eight bits: beside FP16

    @property
    def record(self) -> EngineRecord:
        """How it was built."""
        assert self.manifest.engine is not None
        return self.manifest.engine

    def to_json(self) -> dict[str, Any]:
        """Path, hash, seconds, manifest and the figures of the proof."""
        weighed = {} if self.weighed is None else {"beside_fp16": self.weighed.to_json()}
        figures = summarise(self.record.proof, self.manifest.architecture)
        return super().to_json() | figures | weighed


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
        GateError: if attention is not fused, or is where it was not to be, or if FP16 was asked for
            and FP32 came out, or if eight bits are heavier than FP16.
        MissingError: if the backend is not here.
    """
    options = options or BuildOptions()
    manifest = read_onnx_manifest(onnx)
    check_writable(path, onnx)
    check_writable(sidecar_path(path), onnx)
    chosen = backend.use(options.backend)
    _check_options(options, chosen, manifest)
    if options.timing_cache is not None:
        inputs = (onnx, path, sidecar_path(path))
        check_writable(options.timing_cache, *inputs, option="--timing-cache")
    on_start(chosen)
    manifest = manifest.model_copy(update={"onnx_sha256": sha256(onnx)})
    compiled = compile_network(onnx, chosen, options, manifest, on_progress=on_progress)
    _gate(compiled.proof, manifest, options)
    weighed = None
    if manifest.eight_bits and options.weigh:
        weighed = weigh(onnx, compiled.proof, manifest, chosen, options)
        _gate_weight(weighed, options)
    record = EngineRecord(
        flavour=chosen.flavour,
        version=read_header(compiled.plan, str(path))[1],  # bindings of 10.3 leave a part out
        compute_capabilities=options.compute_capabilities,
        flags=(*compiled.flags, *_allowed(options)),
        workspace_bytes=options.workspace_bytes,
        warnings=compiled.warnings,
        plan_sha256=hashlib.sha256(compiled.plan).hexdigest(),
        plan_bytes=len(compiled.plan),
        bounds=bounds_of(options, manifest),
        gpu=_gpu(chosen),
        proof=compiled.proof,
    )
    manifest = manifest.model_copy(update={"engine": record})
    write_plan(path, compiled.plan, manifest)
    copy_witness(onnx, path)
    if options.timing_cache is not None:
        write_whole(options.timing_cache, compiled.timings)
    return BuildResult(path, record.plan_sha256, compiled.seconds, manifest, weighed)


def _allowed(options: BuildOptions) -> list[str]:
    """What the user overruled, as a record has it."""
    given = {"ALLOW_UNFUSED": options.allow_unfused, "EVEN_IF_HEAVIER": options.even_if_heavier}
    return [name for name, is_so in given.items() if is_so]


def _gpu(chosen: Backend) -> str | None:
    """The GPU an engine is tied to; TensorRT-RTX is tied to none."""
    gpu = query_gpu() if chosen.times_kernels else None
    return None if gpu is None else f"{gpu.name}, compute capability {gpu.compute_capability}"


def _gate(proof: Proof | None, manifest: Manifest, options: BuildOptions) -> None:
    problems = failures(proof, manifest) if proof is not None else []
    if not problems or options.allow_unfused:
        return
    advice = "its maps may be too small, or its query count have no divisor"
    if manifest.attention == "unfused":
        advice = "this TensorRT does not leave this form as it is: build with another version"
    elif "group-queries" not in (manifest.rewrites or ()):
        advice = "export again with the default rewrites"
    raise GateError(
        f"{'; '.join(problems)}; nothing was written; {advice}. To keep such an engine: "
        "--allow-unfused"
    )


def _gate_weight(weighed: Weighed, options: BuildOptions) -> None:
    if weighed.heavier and not options.even_if_heavier:
        raise GateError(
            f"in eight bits this engine is {weighed.sentence}; nothing was written. Export it with "
            "--precision fp16, or fewer parts (--quantise), or keep it with --even-if-heavier"
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
    _check_eight_bits(options, chosen, manifest)
    check_bounds(options, manifest)


def _check_eight_bits(options: BuildOptions, chosen: Backend, manifest: Manifest) -> None:
    for option, given in (
        ("--against", options.against is not None),
        ("--even-if-heavier", options.even_if_heavier),
    ):
        if given and not manifest.eight_bits:
            raise InputError(
                f"{option} is for a model in int8 or fp8, and this one is {manifest.precision}; "
                "leave it out"
            )
    if manifest.precision != "fp8":
        return
    gpu = query_gpu() if chosen.times_kernels or "current" in options.compute_capabilities else None
    targets = [one for one in options.compute_capabilities if one != "current"]
    for target in (*targets, *([] if gpu is None else [gpu.compute_capability])):
        if not runs_fp8(target):
            raise InputError(
                f"FP8 runs on compute capability {FP8_FROM} and later, not on {target}; leave that "
                "target out, or export with --precision fp16"
            )


def check_bounds(options: BuildOptions, manifest: Manifest) -> Bounds | None:
    """The input's bounds, or None where nothing is dynamic.

    Raises:
        InputError: if one that is needed is missing, is not needed, or does not fit.
    """
    _check_bounds_given(options, manifest)
    _check_batches(options, manifest)
    _check_sizes(options, manifest)
    return bounds_of(options, manifest)


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
