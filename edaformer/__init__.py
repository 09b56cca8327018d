"""EDAFormer deploy: a trained EDAFormer checkpoint in, a proven TensorRT engine out.

The front door: the Python side of every command, each brought in when it is first asked for.
Importing this package costs nothing heavy: torch, onnx and TensorRT are imported where they are
used, so that a device which only runs engines needs none of the export side.

    checkpoint = edaformer.load_checkpoint(Path("model.pth"))
    options = edaformer.ExportOptions(isr=edaformer.ISR.parse("16,8,4,1"), size=(360, 480))
    edaformer.export_model(checkpoint, options, Path("model.onnx"))
    edaformer.build_engine(Path("model.onnx"), Path("model.plan"))
    with edaformer.Engine.load("model.plan") as engine:
        labels = engine(frame)  # uint8 (H, W, 3) -> uint8 (H, W)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edaformer.errors import EdaformerError
from edaformer.isr import ISR
from edaformer.version import __version__

if TYPE_CHECKING:
    from edaformer.data import open_dataset
    from edaformer.engines.adapt.adapt import AdaptOptions, adapt
    from edaformer.engines.adapt.frames import find_frames
    from edaformer.engines.artifact.inspect import describe
    from edaformer.engines.artifact.preflight import preflight
    from edaformer.engines.bench.benchmark import benchmark
    from edaformer.engines.bench.contenders import BenchOptions
    from edaformer.engines.build.build import build_engine
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.engines.run.labeller import open_labeller
    from edaformer.engines.run.run import RunOptions, run
    from edaformer.engines.runtime import Engine
    from edaformer.engines.segmenters.trial import try_witness
    from edaformer.engines.tune.tune import TuneOptions, tune
    from edaformer.engines.validate.gates import Gates
    from edaformer.engines.validate.saved import SavedAnswers
    from edaformer.engines.validate.validate import compare, validate
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions
    from edaformer.families.checkpoint import demo_checkpoint
    from edaformer.families.table import load_checkpoint
    from edaformer.machine.threads import share_cores
    from edaformer.remote.device import Device

# Nothing leaves the machine: ONNX Runtime's wheels for Linux count and keep what they are used for
# from the first import on, and so does Hugging Face's hub. Who wants that sets them himself.
for _switch in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_switch, "1")

__all__ = [
    "ISR",
    "AdaptOptions",
    "BenchOptions",
    "BuildOptions",
    "Device",
    "EdaformerError",
    "Engine",
    "ExportOptions",
    "Gates",
    "RunOptions",
    "SavedAnswers",
    "TuneOptions",
    "__version__",
    "adapt",
    "benchmark",
    "build_engine",
    "compare",
    "demo_checkpoint",
    "describe",
    "export_model",
    "find_frames",
    "load_checkpoint",
    "open_dataset",
    "open_labeller",
    "preflight",
    "run",
    "share_cores",
    "try_witness",
    "tune",
    "validate",
]

_HOMES = {
    "AdaptOptions": "edaformer.engines.adapt.adapt",
    "BenchOptions": "edaformer.engines.bench.contenders",
    "BuildOptions": "edaformer.engines.build.compiler",
    "Device": "edaformer.remote.device",
    "Engine": "edaformer.engines.runtime",
    "ExportOptions": "edaformer.export.options",
    "Gates": "edaformer.engines.validate.gates",
    "RunOptions": "edaformer.engines.run.run",
    "SavedAnswers": "edaformer.engines.validate.saved",
    "TuneOptions": "edaformer.engines.tune.tune",
    "adapt": "edaformer.engines.adapt.adapt",
    "benchmark": "edaformer.engines.bench.benchmark",
    "build_engine": "edaformer.engines.build.build",
    "compare": "edaformer.engines.validate.validate",
    "demo_checkpoint": "edaformer.families.checkpoint",
    "describe": "edaformer.engines.artifact.inspect",
    "export_model": "edaformer.export.exporter",
    "find_frames": "edaformer.engines.adapt.frames",
    "load_checkpoint": "edaformer.families.table",
    "open_dataset": "edaformer.data",
    "open_labeller": "edaformer.engines.run.labeller",
    "preflight": "edaformer.engines.artifact.preflight",
    "run": "edaformer.engines.run.run",
    "share_cores": "edaformer.machine.threads",
    "try_witness": "edaformer.engines.segmenters.trial",
    "tune": "edaformer.engines.tune.tune",
    "validate": "edaformer.engines.validate.validate",
}


def __getattr__(name: str) -> Any:
    """Bring in what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edaformer' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Everything that the front door gives, brought in or not."""
    return sorted({*globals(), *_HOMES})
