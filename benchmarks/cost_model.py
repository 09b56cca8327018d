"""Does the modelled latency order ISR settings as measurement does? On this CPU, ONNX Runtime.

    python benchmarks/cost_model.py [--sizes 360x480,512x512] [--isrs "base paper 16,8,4,1"]

Measures the CPU's own ceilings (float32 GEMM and copy), models ten settings at each size, exports
them to FP32 and runs them interleaved. Wall time and CPU time are both taken: on a machine that is
shared, only the second means something. Prints a Markdown table with rank correlations, Spearman's
and Kendall's. docs/tuning.md holds the last one.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.tune.device.roofline import Roofline
from edaformer.engines.tune.device.targets import resolve
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import count, load_checkpoint
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, format_size, parse_size

ISRS = (
    "8,4,2,1-1,2,4 16,4,2,1-1,2,4 8,8,2,1-1,2,4 8,4,4,1-1,2,4 16,8,2,1-2,4,8 16,8,4,1-1,2,4 "
    "16,8,4,2-2,4,8 32,4,2,2-1,8,16 32,4,4,2-1,4,16 32,16,8,4-4,8,16"
)
ROUNDS = 15
Times = NDArray[np.float64]


def main() -> None:
    """Model, measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="360x480,512x512")
    parser.add_argument("--isrs", default=ISRS)
    options = parser.parse_args()
    from edaformer.engines.tune.device.measure import make_artifact
    from edaformer.export.options import ExportOptions

    target, checkpoint = resolve("cpu"), load_checkpoint(demo_checkpoint())
    assert target.ceilings is not None
    print(f"{target.label}; {target.source}\n", flush=True)
    settings = [ISR.parse(text) for text in options.isrs.split()]
    for text in options.sizes.split(","):
        size = parse_size(text)
        whole = (checkpoint.variant, checkpoint.num_classes, aligned(size, ALIGN))
        model = Roofline(*whole, target.ceilings)
        modelled = np.array([model.seconds(isr) for isr in settings])
        with tempfile.TemporaryDirectory() as folder:
            exports = [ExportOptions(isr, size, precision="fp32") for isr in settings]
            files = [make_artifact(checkpoint, o, Path(folder), build=False) for o in exports]
            wall, cpu = run(files, size)
        print(f"| {format_size(size)} | GMACs | modelled ms | wall ms | CPU ms |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for isr, *seconds in zip(settings, modelled, wall, cpu, strict=True):
            shown = " | ".join(f"{one * 1e3:.1f}" for one in seconds)
            print(f"| `{isr}` | {count(*whole, isr).gmacs:.2f} | {shown} |")
        for name, measured in (("wall", wall), ("CPU", cpu)):
            ranks = spearman(modelled, measured), kendall(modelled, measured)
            print("\n{} time: Spearman {:.3f}, Kendall {:.3f}".format(name, *ranks), end="")
            ratio = measured / modelled
            print(f"; {ratio.min():.2f} to {ratio.max():.2f} times modelled", flush=True)


def run(files: list[Path], size: tuple[int, int]) -> tuple[Times, Times]:
    """Median wall and CPU seconds of a frame of each, interleaved."""
    from edaformer.export.runtime import OnnxSession
    from edaformer.export.verify import natural_noise

    sessions, image = [OnnxSession(str(file), eager=True) for file in files], natural_noise(1, size)
    wall: list[list[float]] = [[] for _ in files]
    cpu: list[list[float]] = [[] for _ in files]
    for number in range(1 + ROUNDS):
        for at, session in enumerate(sessions):
            before = time.perf_counter(), time.process_time()
            session.run({session.input_name: image})
            if number:  # the first round warms up
                wall[at].append(time.perf_counter() - before[0])
                cpu[at].append(time.process_time() - before[1])
    return np.array(list(map(median, wall))), np.array(list(map(median, cpu)))


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correlation of ranks; no ties."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pairs in the same order less pairs in the other, over all pairs."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return float(np.mean([np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs]))


if __name__ == "__main__":
    main()
