"""The command that runs a plan as it is with TensorRT's own tool, and what it times.

trtexec 11 leaves transfers out, spins and uses a CUDA graph by itself, 10 does none of them: the
flags make both time the same. TensorRT-RTX calls the tool tensorrt_rtx.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from edaformer.engines.handover.shapes import best_dims
from edaformer.manifest import Manifest

_TOOLS = {"tensorrt": "trtexec", "tensorrt-rtx": "tensorrt_rtx"}


def trtexec_line(plan: Path, manifest: Manifest) -> str:
    """The command line; a plan with dynamic sides is run at the ones to be fastest at."""
    engine, spec = manifest.engine, manifest.input
    assert engine is not None, "a plan's whole manifest has its engine"
    words = [_TOOLS[engine.flavour], f"--loadEngine={plan}"]
    if engine.bounds is not None:
        shape = [engine.bounds.best[0], *best_dims(spec, engine.bounds)]
        words.append(f"--shapes={spec.name}:{'x'.join(map(str, shape))}")
    words += ["--useCudaGraph", "--useSpinWait", "--noDataTransfers", "--warmUp=2000"]
    return shlex.join(words)
