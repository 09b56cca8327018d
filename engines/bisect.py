"""Where an artifact leaves PyTorch float32, on an image of a validation."""

from __future__ import annotations

from pathlib import Path

from edaformer.checkpoint import Checkpoint
from edaformer.engines.onnx_file import read_onnx_manifest
from edaformer.engines.plan import is_plan
from edaformer.engines.procedure import Image, feeds, procedure_of
from edaformer.engines.segmenters import TorchSegmenter
from edaformer.errors import InputError, require
from edaformer.export.bisect import Departure, find_departure
from edaformer.preprocess import network_input
from edaformer.protocol import FitName, Protocol


def bisect(
    artifact: Path,
    checkpoint: Checkpoint,
    image: Image,
    *,
    name: str,
    protocol: Protocol,
    fit: FitName | None,
) -> Departure:
    """Compare the modules of an ONNX artifact with PyTorch's, on what it is given of an image.

    Args:
        artifact: an ``.onnx`` made from the checkpoint.
        checkpoint: as loaded.
        image: RGB (H, W, 3); the first run of its first pass is taken.
        name: of the image, for the reader.
        protocol: as validated.
        fit: as validated.

    Raises:
        InputError: for a plan, whose inner tensors are gone.
    """
    refuse_plan(artifact)
    require("onnx", "export")
    import onnx_ir as ir

    manifest = read_onnx_manifest(artifact)
    procedure = procedure_of(manifest, protocol, fit)
    tile = next(feeds(image, procedure.passes((image.shape[0], image.shape[1]))[0]))
    batch = tile[None].repeat(manifest.input.batch or 1, axis=0)
    reference = TorchSegmenter(checkpoint.model(manifest.isr_value), manifest.input.align)
    feed = network_input(batch, manifest.input.name)
    return find_departure(
        ir.load(artifact), feed, reference.model,
        lambda: reference.logits(batch[:1]), image=name,
    )  # fmt: skip


def refuse_plan(artifact: Path) -> None:
    """Refuse what cannot be bisected, before any work is done for it.

    Raises:
        InputError: for a plan.
    """
    if is_plan(artifact):
        raise InputError(
            f"--bisect compares tensors inside the graph, and {artifact.name} is a plan, which "
            "keeps none of them; bisect the .onnx it was built from"
        )
