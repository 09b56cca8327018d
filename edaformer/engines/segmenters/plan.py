"""A plan on this machine's GPU, through Polygraphy."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.artifact.plan import Plan, read_plan
from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.errors import InputError, MissingError
from edaformer.machine import backend

_log = logging.getLogger(__name__)


class PlanSegmenter(ArtifactSegmenter):
    """A TensorRT engine on this machine's GPU, run through Polygraphy."""

    def __init__(self, path: Path) -> None:
        plan = read_plan(path)
        manifest = plan.known_manifest()
        backend.require_gpu(f"running {path.name}")
        chosen = backend.use(plan.flavour)
        super().__init__(manifest, f"{plan.flavour} {chosen.version} {manifest.precision}")
        self.path = path
        self.logger = backend.make_logger()
        self.runner = _activate(plan, self.logger)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once; Polygraphy reuses its output buffers, hence the copies."""
        from polygraphy.exception import PolygraphyException

        try:
            outputs = self.runner.infer({self.manifest.input.name: feed})
        except PolygraphyException as error:
            raise InputError(
                f"{self.path} does not run a batch of {len(feed)} here "
                f"({backend.last_errors(self.logger)}); build it for this batch and this machine"
            ) from error
        return {name: np.array(value) for name, value in outputs.items()}

    def close(self) -> None:
        """Free the engine and its device memory."""
        self.runner.deactivate()


def _activate(plan: Plan, logger: Any) -> Any:
    """A running Polygraphy runner.

    The plan is loaded with TensorRT's own runtime: for its reasons, and because Polygraphy's loader
    lets it run host code out of the plan.
    """
    wanted = plan.flavour == "tensorrt-rtx"
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if wanted else "0"  # read at its first import
    from polygraphy import config
    from polygraphy.backend.trt import TrtRunner
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    if wanted != config.USE_TENSORRT_RTX:
        raise InputError(
            f"Polygraphy serves the other TensorRT in this process; run {plan.path} in another one"
        )
    G_LOGGER.use_python_logging_system = True  # it would print warnings to stdout, and for want of
    G_LOGGER.colors = False  # a package for colours does so all the same
    runtime = backend.create(backend.trt.Runtime, logger)
    engine = runtime.deserialize_cuda_engine(plan.path.read_bytes())
    try:
        if engine is not None:
            runner = TrtRunner(engine)
            runner.activate()
            return runner
    except PolygraphyException as error:
        _log.debug("%s", error)
    except OSError as error:
        raise MissingError(
            f"Polygraphy finds no CUDA runtime here ({error}); install it and name the folder of "
            "libcudart.so in LD_LIBRARY_PATH"
        ) from error
    raise InputError(
        f"{plan.flavour} refuses {plan.path} on this machine ({backend.last_errors(logger)}); it "
        f"was built by version {plan.version}: build it again here with edaformer-build"
    )
