"""Classic TensorRT's own Python bindings, release by release, without its libraries.

``releases`` makes a folder in which ``import tensorrt`` is NVIDIA's module of a release: over
``layer.cpp``, which builds with TensorRT-RTX, and ``glue.py``, which loads and executes on a CPU.
``slots.json`` is which virtual function is which, found by ``spy.py``. Modules of two releases do
not live in one process, so ``test_releases`` runs what needs one in a process a release.
"""

from __future__ import annotations

import os

INSIDE = "runs under NVIDIA's own bindings, in a process a release: tests/classic/test_releases.py"


def running() -> str | None:
    """The release under which this process runs."""
    return os.environ.get("EDAFORMER_CLASSIC_RELEASE")
