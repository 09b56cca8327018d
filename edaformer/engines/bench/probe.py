"""Load time, first frame and memory of one contender, in a process of its own.

    python -m edaformer.engines.bench.probe < contender.json

Only so are they its own: in the benchmark's process libraries are loaded and arenas are warm. Peak
memory is VmHWM of /proc/self/status, after ten frames; libraries count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.bench.runners import Contender, open_runner
from edaformer.engines.bench.state import Machine
from edaformer.errors import EdaformerError, MissingError, require

FRAMES = 10
_LIBRARIES = {"onnx": "onnxruntime", "torch": "torch", "torch-compile": "torch"}
_TIMEOUT = 900  # seconds: torch.compile with max-autotune takes minutes


@dataclass(frozen=True)
class Start:
    """How a contender starts: seconds, and bytes at the peak; None where nothing tells."""

    import_seconds: float | None  # of its library; None for plans, which load it as they open
    load_seconds: float
    first_frame_seconds: float
    host_bytes: int | None
    device_bytes: int | None  # more than before it was loaded
    runtime_cache: bool | None  # plans alone have one


def probe(contender: Contender) -> Start:
    """Start the contender in another process.

    Raises:
        MissingError: if it does not start there, with its reason.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "edaformer.engines.bench.probe"],
        input=json.dumps(_packed(contender)), capture_output=True, encoding="utf-8",
        errors="replace", timeout=_TIMEOUT, check=False,
    )  # fmt: skip
    if ran.returncode != 0:
        lines = ran.stderr.strip().splitlines() or ["it said nothing"]
        raise MissingError(f"{contender.name} does not start in a process of its own: {lines[-1]}")
    return Start(**json.loads(ran.stdout.splitlines()[-1]))


def start(contender: Contender) -> Start:
    """Start the contender in this process, which should have done nothing else."""
    machine = Machine()
    manifest = artifact_manifest(contender.artifact)
    library = _LIBRARIES.get(contender.kind)
    before = time.perf_counter()
    if library is not None:
        require(library, "export")
    imported = time.perf_counter()
    memory = machine.device_memory()
    runner = open_runner(replace(contender, witness=False), manifest)  # it would run frames
    loaded = time.perf_counter()
    shape = (manifest.input.batch or 1, *manifest.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    runner.frame(images)
    first = time.perf_counter()
    for _ in range(FRAMES - 1):
        runner.frame(images)
    now = machine.device_memory()
    return Start(
        import_seconds=imported - before if library is not None else None,
        load_seconds=loaded - imported,
        first_frame_seconds=first - loaded,
        host_bytes=peak_bytes(),
        device_bytes=max(0, now - memory) if now is not None and memory is not None else None,
        runtime_cache=contender.runtime_cache if contender.kind == "plan" else None,
    )


def peak_bytes() -> int | None:
    """Peak resident memory of this process."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


def _packed(contender: Contender) -> dict[str, Any]:
    return {key: str(v) if isinstance(v, Path) else v for key, v in asdict(contender).items()}


def _unpacked(fields: dict[str, Any]) -> Contender:
    return Contender(**{**fields, "artifact": Path(fields["artifact"])})


def main() -> None:
    """Read a contender from stdin, print its Start."""
    try:
        made = start(_unpacked(json.load(sys.stdin)))
    except EdaformerError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None
    sys.stdout.write(json.dumps(asdict(made)) + "\n")


if __name__ == "__main__":
    main()
