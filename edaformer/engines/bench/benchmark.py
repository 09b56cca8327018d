"""Benchmark artifacts beside each other, and beside PyTorch: whole frames, interleaved.

Each contender first starts in a process of its own (load time, memory). Then all are open in this
one: every contender warms up, then they take turns in rounds, every other round in reverse order,
so that whatever slows the machine down slows all of them. Images rotate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from edaformer.engines.bench.compare import compare, marks
from edaformer.engines.bench.contenders import BenchOptions, choose
from edaformer.engines.bench.lane import Lane
from edaformer.engines.bench.probe import Start, probe
from edaformer.engines.bench.record import Record
from edaformer.engines.bench.runners import Contender
from edaformer.engines.bench.state import Machine
from edaformer.version import __version__


def benchmark(
    artifacts: Sequence[Path],
    options: BenchOptions | None = None,
    *,
    on_step: Callable[[str], None] = lambda _: None,
) -> Record:
    """Measure ``artifacts``, and what they are compared with.

    Args:
        artifacts: one or more ``.onnx`` or ``.plan``.
        options: how; None takes the defaults.
        on_step: told what happens next, in words.

    Raises:
        InputError: if an artifact is none, or an option does not fit it.
        MissingError: if a GPU or a package is missing.
    """
    options = options or BenchOptions()
    contenders = choose(artifacts, options)
    machine = Machine()
    lanes = [Lane(contender, options, machine) for contender in contenders]
    with ExitStack() as stack:
        for lane in lanes:
            on_step(f"starting {lane.contender.name} in a process of its own")
            lane.starts = _starts(lane.contender)
        before, cpu = machine.state(), machine.cpu_times()
        for lane in lanes:
            stack.enter_context(closing(lane.open()))
            on_step(f"warming {lane.contender.name} up")
            lane.warm()
        clocks = _take_turns(lanes, options, machine, on_step)
        after, others = machine.state(), machine.cpu_times().others_since(cpu)
        results = tuple(lane.finish(on_step) for lane in lanes)
        compared = compare(lanes, on_step)
    return Record(
        tool_version=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine.describe(),
        settings=_settings(options, lanes),
        before=before,
        after=after,
        others_share=others,
        marks=marks(before, after, others, clocks, lanes),
        results=results,
        comparisons=compared,
    )


def _starts(contender: Contender) -> tuple[Start, ...]:
    """A plan's start: without a runtime cache, filling it, and with it warm."""
    if contender.kind != "plan":
        return (probe(contender),)
    return (
        probe(replace(contender, runtime_cache=False)), probe(contender), probe(contender)
    )  # fmt: skip


def _take_turns(
    lanes: list[Lane], options: BenchOptions, machine: Machine, on_step: Callable[[str], None]
) -> list[float]:
    """All rounds; the GPU's clock after each turn."""
    clocks: list[float] = []
    for number in range(options.rounds):
        on_step(f"round {number + 1} of {options.rounds}")
        for lane in lanes if number % 2 == 0 else reversed(lanes):
            lane.take_turn(options.duration / options.rounds)
            clock = machine.gpu_mhz() if lane.contender.device == "cuda" else None
            clocks += [clock] if clock is not None else []
    return clocks


def _settings(options: BenchOptions, lanes: list[Lane]) -> dict[str, object]:
    return {
        "data": options.data,
        "images": len(lanes[0].frames),
        "duration": options.duration,
        "rounds": options.rounds,
        "rate": options.rate,
        "threads": lanes[0].contender.threads,
        "wall": "from uint8 RGB in host memory to uint8 labels in host memory",
        "order": "interleaved, every other round in reverse",
        "energy_source": lanes[0].energy.source,
    }
