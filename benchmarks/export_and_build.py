"""Time and memory of export and build, as a user meets them: each step a process of its own.

    python benchmarks/export_and_build.py [--large]

Prints one JSON object: machine, versions, and for each step the wall time in seconds (median of the
runs) and the peak memory in GiB. ``--large`` adds EDAFormer-B at 1024x2048 with 19 classes, which
takes minutes and 8 GiB. Weights are random: neither time nor memory depends on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "onnx", "onnxruntime-gpu", "tensorrt-rtx-cu13")


def main() -> None:
    """Run the steps and print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    record: dict[str, object] = {"machine": machine(), "versions": versions(), "steps": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = [("edaformer-export --help", ["edaformer-export", "--help"], options.runs)]
        steps += chain(folder, "T", 150, "512x512", options.runs)
        if options.large:
            steps += chain(folder, "B", 19, "512x512", 1)
            steps += chain(folder, "B", 19, "1024x2048", 1)
        record["steps"] = [measure(*step) for step in steps]
    print(json.dumps(record, indent=1))


def chain(
    folder: Path, variant: str, classes: int, size: str, runs: int
) -> list[tuple[str, list[str], int]]:
    """Export and build of one model."""
    import torch

    from edaformer.families.edaformer.loader import save_checkpoint
    from edaformer.families.edaformer.network import EDAFormer

    checkpoint = folder / f"{variant}{classes}.safetensors"
    if not checkpoint.exists():
        torch.manual_seed(0)
        save_checkpoint(checkpoint, EDAFormer.from_variant(variant, classes))
    stem = str(folder / f"{variant}{size}")
    what = f"EDAFormer-{variant}, {classes} classes, {size}, FP16"
    export = ["edaformer-export", str(checkpoint), "--size", size, "-o", f"{stem}.onnx"]
    build = ["edaformer-build", f"{stem}.onnx", "--backend", "tensorrt-rtx", "-o", f"{stem}.plan"]
    return [(f"export {what}", export, runs), (f"build {what}", build, runs)]


def measure(name: str, command: list[str], runs: int) -> dict[str, object]:
    """Median wall time and largest peak memory of the runs."""
    seconds, peaks = [], []
    program = str(Path(sys.executable).parent / command[0])
    for _ in range(runs):
        start = time.perf_counter()
        process = subprocess.Popen(
            [program, *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - start)
        peaks.append(usage.ru_maxrss / 2**20)
        if status != 0:
            raise SystemExit(f"{' '.join(command)} failed")
    print(f"{name}: {statistics.median(seconds):.2f} s, {max(peaks):.2f} GiB", file=sys.stderr)
    return {
        "step": name,
        "seconds_median": round(statistics.median(seconds), 3),
        "runs": runs,
        "peak_gib": round(max(peaks), 3),
    }


def machine() -> dict[str, object]:
    """Where this ran."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * resource.getpagesize() / 2**30, 1),
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """What was measured."""
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in PACKAGES},
    }


if __name__ == "__main__":
    main()
