"""The faults in their long form, with a real server on this machine; prints what was seen.

    python -m tests.engines.served MODEL.onnx NEWER.onnx -o faults.json

Both artifacts are of the same classes; the second replaces the first under load. About a quarter
of an hour on two cores. It stops at the first thing that does not hold.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edaformer.engines.handover import hand_over_runtime
from tests.engines.served import faults
from tests.engines.served.load import Known
from tools.tritonserver import TritonServer

Scenario = Callable[[faults.Served], dict[str, Any]]


def main() -> None:
    """Run all, or those named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("newer", type=Path)
    parser.add_argument("--only", nargs="*", help="scenarios; default: all")
    parser.add_argument("-o", "--output", type=Path, help="also write it here")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        scenarios = _scenarios(asked.newer, Path(folder))
        repository = Path(folder) / "repository"
        hand_over_runtime(asked.artifact, repository / faults.MODEL)
        known = Known.of(asked.artifact, asked.newer)
        with TritonServer(repository, *faults.OPTIONS) as server:
            served = faults.Served(server, repository, known)
            for name in asked.only or scenarios:
                start = time.perf_counter()
                found[name] = scenarios[name](served)
                found[name]["took"] = round(time.perf_counter() - start, 1)
                print(name, json.dumps(found[name]), flush=True)
    if asked.output is not None:
        asked.output.write_text(json.dumps(found, indent=1) + "\n")


def _scenarios(newer: Path, folder: Path) -> dict[str, Scenario]:
    return {
        "bad_requests": lambda served: faults.bad_requests(served, range(1000)),
        "clients_that_leave": lambda served: faults.clients_that_leave(served, 200),
        "overload": lambda served: faults.overload(served, 2000),
        "order_of_a_stream": lambda served: faults.order_of_a_stream(served, 500),
        "exchanges": lambda served: faults.exchanges(served, newer, 10),
        "corrupt_model_beside": faults.corrupt_model_beside,
        "stub_kills": lambda served: faults.stub_kills(served, 50),
        "server_kills": lambda served: faults.server_kills(served, 20),
        "killed_under_a_run": lambda served: faults.killed_under_a_run(served, folder / "run"),
    }


if __name__ == "__main__":
    main()
