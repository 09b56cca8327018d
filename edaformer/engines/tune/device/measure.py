"""Measured latency: settings exported, built and run on this machine, taking turns.

On a GPU: FP16, TensorRT, through edaformer.engines.runtime. On a CPU: FP32, ONNX Runtime, which
computes float16 in float32 and would only add casts. Whole frames, uint8 image to uint8 labels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.bench.runners import Contender, Runner, open_runner
from edaformer.engines.bench.state import cores
from edaformer.engines.bench.timing import run_slice, warm_up
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.tune.search.rows import Latency
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR

ROUNDS = 5


def measure(
    checkpoint: Checkpoint,
    settings: Sequence[ISR],
    size: tuple[int, int],
    *,
    on: Literal["cuda", "cpu"],
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[ISR, Latency]:
    """Time a frame of ``size`` (H, W) at each setting, interleaved.

    Raises:
        GateError: if an export or an engine does not verify.
        MissingError: without ONNX Runtime, or without TensorRT for a GPU.
    """
    image = natural_noise(1, size)
    with TemporaryDirectory(prefix="edaformer-tune-") as folder, ExitStack() as stack:
        paths: dict[ISR, Path] = {}
        runners: dict[ISR, Runner] = {}
        for number, isr in enumerate(settings, start=1):
            on_step(f"building {isr} to measure it, {number} of {len(settings)}")
            options = ExportOptions(isr, size, precision="fp16" if on == "cuda" else "fp32")
            paths[isr] = make_artifact(checkpoint, options, Path(folder), build=on == "cuda")
            runners[isr] = stack.enter_context(closing(_open(paths[isr], on)))
        on_step(f"measuring {len(settings)} settings, taking turns")
        rounds = take_turns({isr: _frame(runner, image) for isr, runner in runners.items()})
        return {isr: _latency(rounds[isr], paths[isr]) for isr in settings}


def take_turns(
    frames: Mapping[ISR, Callable[[int], object]],
    *,
    seconds: float = 0.5,
    warm: float = 3.0,
) -> dict[ISR, list[list[float]]]:
    """Seconds of each frame function, in rounds, every other one in reverse.

    Args:
        frames: process a frame each, to its end.
        seconds: of each in each round.
        warm: seconds of warming up, at most.
    """
    times: dict[ISR, list[list[float]]] = {isr: [] for isr in frames}
    for frame in frames.values():
        warm_up(frame, limit=warm)
    for number in range(ROUNDS):
        order = list(frames) if number % 2 == 0 else list(frames)[::-1]
        for isr in order:
            times[isr].append(run_slice(frames[isr], seconds))
    return times


def _latency(rounds: list[list[float]], ran: Path) -> Latency:
    """The median of all frames, and how far the rounds' medians lie apart."""
    whole = median(itertools.chain.from_iterable(rounds))
    medians = [median(made) for made in rounds]
    return Latency(whole, ran.stat().st_size, (max(medians) - min(medians)) / whole)


def make_artifact(
    checkpoint: Checkpoint, options: ExportOptions, folder: Path, *, build: bool
) -> Path:
    """The export in ``folder``, or the plan built from it."""
    onnx = folder / options.default_name(checkpoint)
    export_model(checkpoint, options, onnx)
    return build_engine(onnx, onnx.with_suffix(".plan"), BuildOptions()).path if build else onnx


def _open(path: Path, on: Literal["cuda", "cpu"]) -> Runner:
    kind: Literal["plan", "onnx"] = "plan" if on == "cuda" else "onnx"
    return open_runner(Contender(kind, path, on, cores()), artifact_manifest(path))


def _frame(runner: Runner, image: object) -> Callable[[int], object]:
    return lambda _: runner.frame(image)  # type: ignore[arg-type]
