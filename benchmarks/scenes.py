"""How fast scenes are drawn: one thread, after the artwork is drawn, for several sizes."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy is imported, which is when it counts

import numpy as np  # noqa: E402 - see above

from edaformer.data.scenes import draw_scene, held_out_seed  # noqa: E402

SIZES = ((64, 64), (180, 240), (360, 480), (512, 512), (720, 960), (1024, 2048))


def processor() -> str:
    """The processor's name, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def seconds(height: int, width: int, scenes: int) -> list[float]:
    """Time of each of `scenes` held-out scenes, warm."""
    times = []
    for index in range(scenes):
        begin = time.perf_counter()
        draw_scene(held_out_seed(index), height, width)
        times.append(time.perf_counter() - begin)
    return times


def main() -> None:
    """Warm up, then print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=100, help="scenes of each size")
    args = parser.parse_args()
    print(f"{processor()}, Python {platform.python_version()}, NumPy {np.__version__}, 1 thread")
    begin = time.perf_counter()
    seconds(64, 64, 300)  # draws the artwork that all later scenes share
    print(f"artwork and 300 scenes of 64x64: {time.perf_counter() - begin:.1f} s")
    print(f"{'size':>10} {'ms median':>10} {'ms worst':>9} {'scenes/s':>9}")
    for height, width in SIZES:
        count = max(args.scenes * 360 * 480 // max(height * width, 360 * 480), 10)
        times = seconds(height, width, count)
        median, rate = statistics.median(times), len(times) / sum(times)
        size = f"{height}x{width}"
        print(f"{size:>10} {1e3 * median:10.1f} {1e3 * max(times):9.1f} {rate:9.1f}")


if __name__ == "__main__":
    main()
