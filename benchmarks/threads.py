"""What a validation costs in CPU seconds, by itself and beside other work.

    python benchmarks/threads.py model.onnx --checkpoint model.pth --data camvid:DIR

Beside it spin as many processes as there are cores, or as --spinners says. Quiet and busy runs take
turns, each a whole ``edaformer-validate`` without its cache; the seconds are those of user and
system that the kernel counted for it and its children. On a machine that others use, quiet is not
quiet: compare the least of several.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

CODE = "from edaformer.cli.validate import main; main()"
LAX = ("--no-cache", "--json", "--max-miou-drop", "100", "--min-agreement", "0", "--trust-labels")
SPIN = "while True: pass"


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=10, help="images")
    parser.add_argument("--spinners", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("options", nargs="*", help="more of edaformer-validate, after --")
    asked = parser.parse_args()
    command = [
        sys.executable, "-c", CODE, asked.artifact, "--checkpoint", asked.checkpoint, "--data",
        asked.data, "--limit", str(asked.limit), *LAX, *asked.options,
    ]  # fmt: skip
    runs: dict[str, list[tuple[float, float]]] = {"quiet": [], "busy": []}
    for _ in range(asked.repeats):
        for name, made in runs.items():
            with spinning(asked.spinners if name == "busy" else 0):
                made.append(seconds(command))
    quiet, busy = (min(cpu for cpu, _ in made) for made in runs.values())
    print(json.dumps({
        "cores": len(os.sched_getaffinity(0)),
        "images": asked.limit,
        **{name: [{"cpu": round(cpu, 2), "wall": round(wall, 2)} for cpu, wall in made]
           for name, made in runs.items()},
        "busy / quiet, least of each": round(busy / quiet, 3),
    }, indent=1))  # fmt: skip
    return 0


def seconds(command: list[str]) -> tuple[float, float]:
    """CPU and wall-clock seconds of a command, which must succeed."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, time.perf_counter() - start


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """So many processes that are always busy; they are waited for after the run is counted."""
    busy = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
