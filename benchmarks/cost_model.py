"""Does the modelled latency order ISR settings as measurement does? On this CPU, ONNX Runtime.

    python benchmarks/cost_model.py [--sizes 360x480,512x512]

Measures the CPU's own ceilings (float32 GEMM and copy), models ten settings at each size, exports
them to FP32, runs them interleaved, and prints a Markdown table with rank correlations, Spearman's
and Kendall's, and the ratio of measured to modelled. docs/tuning.md holds the last one.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray

from edaformer.checkpoint import Checkpoint, demo_checkpoint, load_checkpoint
from edaformer.cost import count
from edaformer.engines.tune.measure import measure
from edaformer.engines.tune.roofline import Roofline
from edaformer.engines.tune.targets import resolve
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, format_size, parse_size

ISRS = (
    "8,4,2,1-1,2,4", "16,4,2,1-1,2,4", "8,8,2,1-1,2,4", "8,4,4,1-1,2,4", "16,8,2,1-2,4,8",
    "16,8,4,1-1,2,4", "16,8,4,2-2,4,8", "32,4,2,2-1,8,16", "32,4,4,2-1,4,16", "32,16,8,4-4,8,16",
)  # fmt: skip


def main() -> None:
    """Model, measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="360x480,512x512")
    options = parser.parse_args()
    target = resolve("cpu")
    assert target.ceilings is not None
    print(f"{target.label}; {target.source}\n")
    checkpoint = load_checkpoint(demo_checkpoint())
    settings = [ISR.parse(text) for text in ISRS]
    for text in options.sizes.split(","):
        size = parse_size(text)
        padded = aligned(size, ALIGN)
        model = Roofline(checkpoint.variant, checkpoint.num_classes, padded, target.ceilings)
        modelled = np.array([model.seconds(isr) for isr in settings])
        made = measure(checkpoint, settings, size, on="cpu")
        measured = np.array([made[isr].seconds for isr in settings])
        report(checkpoint, size, settings, modelled, measured)


def report(
    checkpoint: Checkpoint,
    size: tuple[int, int],
    settings: list[ISR],
    modelled: NDArray[np.float64],
    measured: NDArray[np.float64],
) -> None:
    """One size's table and correlations."""
    print(f"| {format_size(size)} | GMACs | modelled ms | measured ms | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    padded = aligned(size, ALIGN)
    for isr, low, real in zip(settings, modelled, measured, strict=True):
        gmacs = count(checkpoint.variant, checkpoint.num_classes, padded, isr).gmacs
        print(f"| `{isr}` | {gmacs:.2f} | {low * 1e3:.1f} | {real * 1e3:.1f} | {real / low:.2f} |")
    ratio, ranks = measured / modelled, (spearman(modelled, measured), kendall(modelled, measured))
    print("\nSpearman {:.3f}, Kendall {:.3f}; ".format(*ranks), end="")
    print(f"measured is {ratio.min():.2f} to {ratio.max():.2f} times modelled\n", flush=True)


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correlation of ranks; no ties."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pairs in the same order less pairs in the other, over all pairs."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return float(np.mean([np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs]))


if __name__ == "__main__":
    main()
