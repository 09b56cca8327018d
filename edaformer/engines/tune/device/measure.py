"""Measured latency: settings exported, built and run on this machine, taking turns.

On a GPU: FP16, TensorRT, through edaformer.engines.runtime. On a CPU: FP32, ONNX Runtime, which
computes float16 in float32 and would only add casts. Whole frames, uint8 image to uint8 labels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
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
from edaformer.engines.tune.search.setting import Graphs, InEightBits, Setting, isr_of
from edaformer.errors import GateError
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.quantise.calibrate import Calibration
from edaformer.export.verify import Images, natural_noise
from edaformer.families.checkpoint import Checkpoint

ROUNDS = 5
Step = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """Of some settings."""

    latencies: dict[Setting, Latency] = field(default_factory=dict)
    refused: dict[Setting, str] = field(default_factory=dict)  # why it cannot be had, in a sentence


def measure(
    checkpoint: Checkpoint,
    settings: Sequence[Setting],
    size: tuple[int, int],
    *,
    on: Literal["cuda", "cpu"],
    on_step: Step = lambda _: None,
    graphs: Graphs | None = None,
) -> Measured:
    """Time a frame of ``size`` (H, W) at each setting, interleaved.

    Args:
        checkpoint: as loaded.
        settings: what is to be timed.
        size: valid pixels.
        on: a GPU with TensorRT, or the CPU.
        on_step: told what is being done.
        graphs: the exports of those in eight bits; one that does not pay is refused.

    Raises:
        GateError: if an export or an engine in FP16 does not verify.
        MissingError: without ONNX Runtime, or without TensorRT for a GPU.
    """
    image = natural_noise(1, size)
    with TemporaryDirectory(prefix="edaformer-tune-") as folder, ExitStack() as stack:
        paths: dict[Setting, Path] = {}
        refused: dict[Setting, str] = {}
        runners: dict[Setting, Runner] = {}
        for number, one in enumerate(settings, start=1):
            on_step(f"building {one} to measure it, {number} of {len(settings)}")
            options = ExportOptions(isr_of(one), size, precision="fp16" if on == "cuda" else "fp32")
            try:
                paths[one] = (
                    _plan(graphs[one], Path(folder) / f"{number}.plan")
                    if isinstance(one, InEightBits) and graphs is not None
                    else make_artifact(checkpoint, options, Path(folder), build=on == "cuda")
                )
            except GateError as error:
                if not isinstance(one, InEightBits):
                    raise
                refused[one] = str(error)
                continue
            runners[one] = stack.enter_context(closing(_open(paths[one], on)))
        on_step(f"measuring {len(runners)} settings, taking turns")
        rounds = take_turns({one: _frame(runner, image) for one, runner in runners.items()})
        return Measured({one: _latency(rounds[one], path) for one, path in paths.items()}, refused)


def take_turns(
    frames: Mapping[Setting, Callable[[int], object]],
    *,
    seconds: float = 0.5,
    warm: float = 3.0,
) -> dict[Setting, list[list[float]]]:
    """Seconds of each frame function, in rounds, every other one in reverse.

    Args:
        frames: process a frame each, to its end.
        seconds: of each in each round.
        warm: seconds of warming up, at most.
    """
    times: dict[Setting, list[list[float]]] = {one: [] for one in frames}
    for frame in frames.values():
        warm_up(frame, limit=warm)
    for number in range(ROUNDS):
        order = list(frames) if number % 2 == 0 else list(frames)[::-1]
        for one in order:
            times[one].append(run_slice(frames[one], seconds))
    return times


def _latency(rounds: list[list[float]], ran: Path) -> Latency:
    """The median of all frames, and how far the rounds' medians lie apart."""
    whole = median(itertools.chain.from_iterable(rounds))
    medians = [median(made) for made in rounds]
    return Latency(whole, ran.stat().st_size, (max(medians) - min(medians)) / whole)


def make_artifact(
    checkpoint: Checkpoint,
    options: ExportOptions,
    folder: Path,
    *,
    build: bool,
    images: Images | None = None,
    calibration: Calibration | None = None,
) -> Path:
    """The export in ``folder``, or the plan built from it.

    Args:
        checkpoint: as loaded.
        options: of the export.
        folder: an existing one.
        build: whether a plan is made of it.
        images: to verify on; None: as export_model has it.
        calibration: of eight bits.
    """
    onnx = folder / options.default_name(checkpoint)
    export_model(checkpoint, options, onnx, images=images, calibration=calibration)
    return _plan(onnx, onnx.with_suffix(".plan")) if build else onnx


def _plan(onnx: Path, path: Path) -> Path:
    return build_engine(onnx, path, BuildOptions()).path


def _open(path: Path, on: Literal["cuda", "cpu"]) -> Runner:
    kind: Literal["plan", "onnx"] = "plan" if on == "cuda" else "onnx"
    return open_runner(Contender(kind, path, on, cores()), artifact_manifest(path))


def _frame(runner: Runner, image: object) -> Callable[[int], object]:
    return lambda _: runner.frame(image)  # type: ignore[arg-type]
