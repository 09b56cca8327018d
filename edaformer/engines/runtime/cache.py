"""What TensorRT-RTX compiled for this GPU, kept beside the plan, so that the next load is quick.

TensorRT-RTX compiles an engine's kernels where it runs. The cache holds them; it is of use to the
same plan, GPU and version, as its name says: ``model.plan.<plan>-<GPU>-<version>.cache``. TensorRT
checks more (driver, format) and refuses what does not fit; the cache is then made anew.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from edaformer.errors import InputError, require
from edaformer.files import write_whole

_log = logging.getLogger(__name__)


class RuntimeCache:
    """The cache of one context: read before the context is made, written when it has changed."""

    def __init__(self, path: Path, config: Any) -> None:
        """Make a cache of ``config`` (trt.IRuntimeConfig), filled from ``path`` where that fits."""
        self.path = path
        self.cache = config.create_runtime_cache()
        self._kept = path.read_bytes() if path.is_file() else b""
        self.was_warm = bool(self._kept) and bool(self.cache.deserialize(self._kept))
        config.set_runtime_cache(self.cache)

    def save(self) -> None:
        """Write it, if it holds more than was read; what cannot be written is a warning."""
        filelock: Any = require("filelock", "cuda")
        made = self.cache.serialize()  # None: TensorRT has nothing to keep
        data = bytes(memoryview(made)) if made is not None else b""
        if data in {b"", self._kept}:
            return
        try:
            with filelock.FileLock(f"{self.path}.lock", timeout=10):
                write_whole(self.path, data)
        except (OSError, InputError, filelock.Timeout) as error:
            _log.warning(
                "the runtime cache is not kept, so the next load compiles again: %s", error
            )
            return
        self._kept = data


def path_beside(
    plan: Path, sha256: str, gpu: str, capability: tuple[int, int], version: str, *, suffix: str
) -> Path:
    """Where what is kept of a plan on a machine lies.

    Args:
        plan: the plan.
        sha256: its hash; a plan built anew under the same name gets one of its own.
        gpu: the GPU's name.
        capability: its compute capability.
        version: TensorRT's.
        suffix: of what is kept: ``cache``, ``verdict``.
    """
    name = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    key = f"{sha256[:12]}-{name}-sm{capability[0]}{capability[1]}-{version}"
    return plan.with_name(f"{plan.name}.{key}.{suffix}")
