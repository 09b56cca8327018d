"""One validation in this process, in two, on Ray, and on three of Ray's nodes: is it the same?

For each way: whether its JSON is the first one's, byte for byte (with as many threads it is);
images a second from the command's start to its end; CPU seconds of all its processes; the largest
process. On a machine that others use, seconds say little and CPU seconds more.

    python benchmarks/spreading.py model.onnx --checkpoint model.pth --data camvid:CamVid
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_WAYS = {
    "one thread": ["--threads", "1"],
    "one process": [],
    "one worker": ["--processes", "1", "--threads", "1"],
    "two workers": ["--processes", "2"],
    "Ray local": ["--ray", "local", "--processes", "2"],
    "Ray three nodes": ["--ray", "auto"],
}


@dataclass(frozen=True)
class Ran:
    """One way."""

    way: str
    images: int
    seconds: float
    cpu_seconds: float | None  # None: Ray's nodes are no children of the command's
    largest_bytes: int | None  # resident memory of the largest process, likewise
    same: bool  # as the first way's JSON, workers left out
    workers: list[dict[str, Any]]


def main() -> None:
    """Run the ways and print a record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--ways", default=",".join(_WAYS), help="of: " + ", ".join(_WAYS))
    parser.add_argument("-o", "--output", type=Path, default=None, help="also write it here")
    asked = parser.parse_args()
    line = [sys.executable, "-m", "edaformer", "validate", str(asked.artifact), "--json",
            "--no-cache", "--checkpoint", str(asked.checkpoint), "--data", asked.data,
            *([] if asked.limit is None else ["--limit", str(asked.limit)])]  # fmt: skip
    first: str | None = None
    made: list[dict[str, Any]] = []
    for way in asked.ways.split(","):
        ran, said = _timed(way, [*line, *_WAYS[way]], first)
        first = first or said
        made.append(asdict(ran))
        print(json.dumps(made[-1]), flush=True)
    if asked.output is not None:
        of = {"artifact": asked.artifact.name, "checkpoint": asked.checkpoint.name,
              "cores": len(os.sched_getaffinity(0))}  # fmt: skip
        asked.output.write_text(json.dumps({**of, "ways": made}, indent=1) + "\n")


def _timed(way: str, line: list[str], first: str | None) -> tuple[Ran, str]:
    if way == "Ray three nodes":
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            return _run(way, line, first, {"RAY_ADDRESS": cluster.address})
        finally:
            cluster.shutdown()
    return _run(way, line, first, {})


def _run(
    way: str, line: list[str], first: str | None, environment: dict[str, str]
) -> tuple[Ran, str]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        line, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout.startswith("{"):
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout)
    workers = result.pop("workers", [])
    said = json.dumps(result)
    own = not way.startswith("Ray")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(
        way, result["images"], round(seconds, 1), round(cpu, 1) if own else None,
        after.ru_maxrss * 1024 if own else None, first is None or said == first, workers,
    ), said  # fmt: skip


if __name__ == "__main__":
    main()
