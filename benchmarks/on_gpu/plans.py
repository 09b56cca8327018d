"""What is made of prepared plans, each in a process of its own."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from on_gpu.cases import EIGHT_BITS, TRAINED, TRAINED_SIZE
from on_gpu.probe import validity
from on_gpu.run import Skipped
from on_gpu.state import state
from on_gpu.timing import spread

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run


def cases(run: Run) -> list[str]:
    """Ours, by their stems: without their other forms and the trained network."""
    stems = [stem for stem in _stems(run) if "." not in stem and stem != TRAINED]
    if not stems:
        raise Skipped(f"no *.plan in {run.plans}")
    return stems


def in_eight_bits(run: Run) -> list[str]:
    """Those with an FP16 plan of the same network beside them."""
    found = [stem for stem in _stems(run) if stem.rpartition(".")[2] in EIGHT_BITS]
    if not found:
        raise Skipped(f"no plan in eight bits is in {run.plans}; --prepare makes some")
    return found


def trained(run: Run) -> list[str]:
    """The one that --checkpoint was made into."""
    if run.checkpoint is None or run.data is None:
        raise Skipped("no --checkpoint and --data were given")
    if not (_folder(run) / f"{TRAINED}.plan").is_file():
        raise Skipped(f"no {TRAINED}.plan in {run.plans}; --prepare makes it with --checkpoint")
    return [TRAINED, *(f"{TRAINED}.{one}" for one in EIGHT_BITS if _is_there(run, one))]


def _is_there(run: Run, precision: str) -> bool:
    return (_folder(run) / f"{TRAINED}.{precision}.plan").is_file()


def bench(run: Run, stem: str, keep: Keep) -> None:
    """Whole frames through Engine, beside the plain export of the same network."""
    plan = _folder(run) / f"{stem}.plan"
    _bench([plan, plan.with_suffix(".plain.plan")], plan, keep)


def bench_eight_bits(run: Run, stem: str, keep: Keep) -> None:
    """FP16 first, and the same network in eight bits beside it."""
    plan = _folder(run) / f"{stem}.plan"
    _bench([plan.with_name(f"{stem.rpartition('.')[0]}.plan"), plan], plan, keep)


def _bench(plans: list[Path], own: Path, keep: Keep) -> None:
    """Those that are there, in turns; where they are refused, what is said of our ``own``."""
    from edaformer.engines.bench.benchmark import benchmark
    from edaformer.engines.bench.contenders import BenchOptions
    from edaformer.errors import EdaformerError

    try:
        there = [path for path in plans if path.is_file()]
        keep(record=benchmark(there, BenchOptions(duration=3, rounds=10)).to_json())
    except EdaformerError as error:  # the refusal's own words are what is wanted
        keep(refused=str(error))
        validity(own, keep)
    keep(state=state())


def overhead(run: Run, stem: str, keep: Keep) -> None:
    """What a frame takes beyond the GPU's own time.

    The GPU's time is that of a pass without a CUDA graph, by events; the wall's that of a call as
    users make it, with one. A graph makes the GPU faster, so the difference can be below zero.
    """
    from edaformer.engines.runtime import Engine
    from edaformer.errors import EdaformerError

    try:
        with Engine.load(_folder(run) / f"{stem}.plan") as engine:
            keep(**frame_times(engine))
    except EdaformerError as error:
        keep(refused=str(error))
    keep(state=state())


def frame_times(engine: Any) -> dict[str, Any]:
    """Of random frames."""
    image = np.random.default_rng(0).integers(0, 256, (*engine.size, 3), np.uint8)
    engine.warmup()
    parts = [asdict(engine.timed(image)[1]) for _ in range(100)]
    split = {name: statistics.median(part[name] for part in parts) for name in parts[0]}
    walls = []
    for _ in range(300):
        start = time.perf_counter()
        engine(image)
        walls.append(time.perf_counter() - start)
    wall = spread(walls)
    on_gpu = sum(seconds for name, seconds in split.items() if name != "wall")
    return {"split": split, "wall": wall, "gpu": on_gpu, "host": wall["p50"] - on_gpu}


def agreement(run: Run, stem: str, keep: Keep) -> None:
    """The trained network's labels against PyTorch float32, as edaformer-validate has it."""
    from edaformer.data import open_dataset
    from edaformer.engines.validate.validate import validate
    from edaformer.families.table import load_checkpoint

    assert run.checkpoint is not None
    assert run.data is not None
    data = open_dataset(run.data, TRAINED_SIZE)
    plan = _folder(run) / f"{stem}.plan"
    keep(validation=validate(plan, load_checkpoint(run.checkpoint), data).to_json())


def _stems(run: Run) -> list[str]:
    return sorted(path.stem for path in _folder(run).glob("*.plan"))


def _folder(run: Run) -> Path:
    if run.plans is None:
        raise Skipped("no --plans were given; make them with --prepare")
    return run.plans
