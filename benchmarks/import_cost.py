"""What importing the runtime costs, on top of NumPy: seconds, the median of fresh interpreters.

    python benchmarks/import_cost.py [--runs 20]

The limit is 0.10 s; the exit code is 1 above it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

LIMIT = 0.10
CODE = """
import time, numpy
start = time.perf_counter()
import edaformer.engines.runtime
print(time.perf_counter() - start)
"""


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    seconds = [
        float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout)
        for _ in range(runs)
    ]
    median = statistics.median(seconds)
    worst = max(seconds)
    print(json.dumps({"seconds_median": round(median, 4), "seconds_worst": round(worst, 4),
                      "runs": runs, "limit": LIMIT}))  # fmt: skip
    return int(median > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
