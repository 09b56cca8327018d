"""Time per layer: ONNX Runtime's own profiler, TensorRT's IProfiler.

Profiling slows a network down, so these times are apart from the benchmark's.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from edaformer.engines.bench.runners import Contender
from edaformer.engines.segmenters.plan import PlanSegmenter
from edaformer.engines.segmenters.segmenter import Images
from edaformer.errors import InputError
from edaformer.machine import backend
from edaformer.manifest import Manifest
from edaformer.preprocess import network_input

FRAMES = 10
_SKIPPED = 2  # frames that only warm up


@dataclass(frozen=True)
class Layer:
    """One layer: median seconds of a frame."""

    name: str
    kind: str  # operator; empty where TensorRT has fused several
    seconds: float


def profile(contender: Contender, manifest: Manifest, images: Sequence[Images]) -> list[Layer]:
    """Layers in the order of their time.

    Raises:
        InputError: for PyTorch, which has a profiler of its own.
    """
    if contender.kind == "onnx":
        layers = _profile_onnx(contender, manifest, images)
    elif contender.kind == "plan":
        layers = _profile_plan(contender, images)
    else:
        raise InputError("--profile is for .onnx and .plan; use torch.profiler for PyTorch")
    return sorted(layers, key=lambda layer: -layer.seconds)


def _profile_onnx(
    contender: Contender, manifest: Manifest, images: Sequence[Images]
) -> list[Layer]:
    from edaformer.export.runtime import OnnxSession

    with tempfile.TemporaryDirectory() as folder:
        session = OnnxSession(
            str(contender.artifact), cuda=contender.device == "cuda",
            threads=contender.threads, eager=True, profile=str(Path(folder) / "ort"),
        )  # fmt: skip
        for number in range(FRAMES):
            image = images[number % len(images)]
            spec = manifest.input
            feed = network_input(image, spec.name, spec.normalisation)
            session.run({session.input_name: feed})
        return onnx_layers(json.loads(Path(session.end_profile()).read_text("utf-8")))


def onnx_layers(events: list[dict[str, Any]]) -> list[Layer]:
    """Layers out of ONNX Runtime's trace events, whose durations are microseconds."""
    times, kinds = defaultdict[str, list[float]](list), dict[str, str]()
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            node = name.removesuffix("_kernel_time")
            times[node].append(event["dur"] / 1e6)
            kinds[node] = event["args"]["op_name"]
    return [Layer(node, kinds[node], median(own[_SKIPPED:] or own)) for node, own in times.items()]


def _profile_plan(contender: Contender, images: Sequence[Images]) -> list[Layer]:
    """Through Polygraphy's runner: an attached profiler makes TensorRT wait after every layer."""
    with closing(PlanSegmenter(contender.artifact)) as segmenter:
        profiler = _make_profiler()
        segmenter.runner.context.profiler = profiler
        for number in range(FRAMES):
            segmenter.segment(images[number % len(images)])
        times: dict[str, list[float]] = profiler.times
    return [Layer(name, "", median(own[_SKIPPED:] or own)) for name, own in times.items()]


def _make_profiler() -> Any:
    trt = backend.trt

    class Collector(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times = defaultdict[str, list[float]](list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times[layer_name].append(ms / 1e3)

    return Collector()
