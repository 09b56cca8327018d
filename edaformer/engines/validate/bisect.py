"""Where an artifact leaves PyTorch float32, on an image of a validation.

Of an engine nothing can be read but its outputs. So the graph it was built from is built once more,
as its sidecar records and with every compared tensor as an output, and that engine is run. It is
the same network, typed alike, by the same builder; but a tensor that leaves the network is written
to memory, so kernels that were merged across it are not, and an error that only such a merged
kernel makes does not show.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edaformer.engines.artifact.kind import is_plan
from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.artifact.plan import read_plan, sidecar_path
from edaformer.engines.artifact.served import is_address, parse_address
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.build.rebuild import recorded_build
from edaformer.engines.segmenters.plan import PlanSegmenter
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.validate.procedure import Image, feeds, procedure_of
from edaformer.errors import InputError, require
from edaformer.evaluation.protocol import FitName, Protocol
from edaformer.export.bisect import Departure, Run, find_departure, probe, run_in_onnxruntime
from edaformer.families.checkpoint import Checkpoint
from edaformer.machine import backend
from edaformer.preprocess import network_input

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Probed:
    """The graph that is looked into, and what runs it."""

    onnx: Path
    batch: int
    run: Run


def probed(artifact: Path) -> Probed:
    """What ``--bisect`` will look into.

    Args:
        artifact: an ``.onnx``; or a ``.plan`` with its sidecar, and its ``.onnx`` beside it.

    Raises:
        InputError: if a plan's ``.onnx`` is not there, or the artifact is served.
        MissingError: for a plan without a GPU.
    """
    if is_address(artifact):
        raise InputError(
            f"{parse_address(artifact)} gives its labels alone, and --bisect looks into a graph; "
            "validate the file that is served"
        )
    if not is_plan(artifact):
        batch = read_onnx_manifest(artifact).input.batch
        return Probed(artifact, batch or 1, run_in_onnxruntime)
    backend.require_gpu(f"bisecting {artifact.name}")
    onnx, options, record = recorded_build(sidecar_path(artifact), None)
    batch = (
        record.bounds.best[0] if record.bounds else read_plan(artifact).known_manifest().input.batch
    )
    return Probed(onnx, batch or 1, _in_engine(options))


def bisect(
    artifact: Path,
    checkpoint: Checkpoint,
    image: Image,
    *,
    name: str,
    protocol: Protocol,
    fit: FitName | None,
) -> Departure:
    """Compare the modules of an artifact with PyTorch's, on what it is given of an image.

    Args:
        artifact: made from the checkpoint, as ``probed`` takes it.
        checkpoint: as loaded.
        image: RGB (H, W, 3); the first run of its first pass is taken.
        name: of the image, for the reader.
        protocol: as validated.
        fit: as validated.

    Raises:
        InputError: if a plan's ``.onnx`` is not there, or the artifact is served.
        MissingError: for a plan without a GPU.
    """
    require("onnx", "export")
    import onnx_ir as ir

    inside = probed(artifact)
    manifest = read_onnx_manifest(inside.onnx)
    spec = manifest.input
    procedure = procedure_of(manifest, protocol, fit)
    tile = next(
        feeds(image, procedure.passes((image.shape[0], image.shape[1]))[0], spec.normalisation.fill)
    )
    batch = tile[None].repeat(inside.batch, axis=0)
    reference = TorchSegmenter(checkpoint.model(manifest.isr_value), spec.alignment)
    size = (tile.shape[0], tile.shape[1])
    feed = network_input(batch, spec.name, spec.normalisation, spec.fed_at(size))
    return find_departure(
        ir.load(inside.onnx), feed, reference.model,
        lambda: reference.logits(batch[:1]), image=name, run=inside.run,
    )  # fmt: skip


def _in_engine(options: BuildOptions) -> Run:
    def run(graph: ir.Model, tensors: list[str], feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        import onnx_ir as ir

        with tempfile.TemporaryDirectory() as folder:
            onnx, plan = Path(folder, "probe.onnx"), Path(folder, "probe.plan")
            own = [str(output.name) for output in graph.graph.outputs]  # as its manifest has them
            ir.save(probe(graph, [*dict.fromkeys([*tensors, *own])]), onnx)
            build_engine(onnx, plan, options)
            with closing(PlanSegmenter(plan)) as segmenter:
                return segmenter.infer(feed)

    return run
