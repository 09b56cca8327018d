"""Exports and builds with TensorRT-RTX, anywhere: networks, their other forms, a trained one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from on_gpu.cases import (
    EIGHT_BITS,
    IN_EIGHT_BITS,
    SHAPES,
    TRAINED,
    TRAINED_ISR,
    TRAINED_SIZE,
    Network,
    Size,
    logits_name,
    network_name,
)

if TYPE_CHECKING:
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.export.options import ExportOptions
    from edaformer.export.quantise.calibrate import Calibration
    from edaformer.families.checkpoint import Checkpoint


def prepare(
    folder: Path, cases: Iterable[Network], capabilities: tuple[str, ...], trained: Path | None,
    data: str | None,
) -> None:  # fmt: skip
    """Fill ``folder`` for --plans; ``data`` is what the trained one is calibrated on."""
    from edaformer.engines.build.compiler import BuildOptions

    build = BuildOptions(backend="tensorrt-rtx", compute_capabilities=capabilities)
    folder.mkdir(parents=True, exist_ok=True)
    if trained is not None:
        _trained(folder, trained, build, data)
    for case in cases:
        _random(folder / network_name(*case), case, build)
        print(f"prepared {network_name(*case)}", file=sys.stderr)


def _trained(folder: Path, checkpoint: Path, build: BuildOptions, data: str | None) -> None:
    """Its plan, and its logits of a drawn street at the sizes of the kernels' cases."""
    import numpy as np
    import torch

    from edaformer.data.scenes import draw_scene
    from edaformer.engines.build.build import build_engine
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions
    from edaformer.families.table import load_checkpoint
    from edaformer.isr import ISR
    from edaformer.preprocess import normalise

    loaded = load_checkpoint(checkpoint)
    model = loaded.model()
    for size in _sizes():
        picture = draw_scene(0, *size).image
        pixels = torch.from_numpy(normalise(picture[None], model.normalisation))
        with torch.inference_mode():
            np.save(folder / logits_name(size), model(pixels).half().numpy())
    options = ExportOptions(isr=ISR.parse(TRAINED_ISR), size=TRAINED_SIZE, outputs=("logits",))
    made = export_model(loaded, options, folder / f"{TRAINED}.onnx")
    build_engine(made.path, folder / f"{TRAINED}.plan", build)
    if data is not None:
        from edaformer.cli.options.calibration import calibration_of

        calibration, _ = calibration_of(data, None, TRAINED_SIZE, loaded)
        _in_eight_bits(folder / TRAINED, loaded, options, calibration, build)


def _in_eight_bits(
    stem: Path, checkpoint: Checkpoint, options: ExportOptions, calibration: Calibration,
    build: BuildOptions,
) -> None:  # fmt: skip
    """Its attention, as ``STEM.fp8.plan`` and ``STEM.int8.plan``, whether it pays or not."""
    from edaformer.engines.build.build import build_engine
    from edaformer.errors import EdaformerError
    from edaformer.export.exporter import export_model

    for precision in EIGHT_BITS:
        onnx, plan = (stem.with_name(f"{stem.name}.{precision}{end}") for end in (".onnx", ".plan"))
        # Random weights decide nothing: what the labels of a trained one are worth, is measured
        asked = replace(options, precision=precision, min_agreement=0.0)
        try:
            export_model(checkpoint, asked, onnx, calibration=calibration)
            build_engine(onnx, plan, replace(build, even_if_heavier=True))
        except EdaformerError as error:
            print(f"{plan.name} is left out: {error}", file=sys.stderr)


def _sizes() -> set[Size]:
    """Those at which a network runs without padding."""
    return {network for _, network, _ in SHAPES if all(side % 32 == 0 for side in network)}


def _random(stem: Path, case: Network, build: BuildOptions) -> None:
    import torch

    from edaformer.engines.build.build import build_engine
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions
    from edaformer.families.edaformer.loader import save_checkpoint
    from edaformer.families.edaformer.network import EDAFormer
    from edaformer.families.table import load_checkpoint
    from edaformer.isr import ISR

    variant, classes, size, isr = case
    torch.manual_seed(0)
    save_checkpoint(stem.with_suffix(".safetensors"), EDAFormer.from_variant(variant, classes))
    checkpoint = load_checkpoint(stem.with_suffix(".safetensors"))
    options = ExportOptions(isr=ISR.parse(isr), size=size, outputs=("logits",))
    made = export_model(checkpoint, options, stem.with_suffix(".onnx"))
    build_engine(made.path, stem.with_suffix(".plan"), build)
    if case in IN_EIGHT_BITS:
        _in_eight_bits(stem, checkpoint, options, _drawn(size), build)
    _plain(checkpoint.model(options.isr), size, made.manifest, stem.with_suffix(".plain.onnx"))
    as_it_comes = replace(build, allow_unfused=True)
    build_engine(stem.with_suffix(".plain.onnx"), stem.with_suffix(".plain.plan"), as_it_comes)


def _drawn(size: Size) -> Calibration:
    """Streets, as few as may be."""
    import numpy as np

    from edaformer.data.scenes import draw_scene
    from edaformer.export.quantise.calibrate import MIN_IMAGES, Calibration

    pictures = np.stack([draw_scene(seed, *size).image for seed in range(MIN_IMAGES)])
    return Calibration(pictures, tuple(f"street {at}" for at in range(MIN_IMAGES)), "drawn streets")


def _plain(model: Any, size: Size, manifest: Any, path: Path) -> None:
    """What torch.onnx makes of the network in FP16, without our rewrites."""
    import onnx_ir as ir
    import torch

    from edaformer.export.graph import trace
    from edaformer.export.wrapper import Deployment, Geometry
    from edaformer.manifest import ONNX_KEY, OutputSpec

    plain = Deployment(model, Geometry.of(size, 32), image_input=True, outputs=("labels",)).half()
    example = torch.zeros((1, *size, 3), dtype=torch.uint8)
    graph = trace(plain, example, opset=18, dynamic_batch=False)
    output = OutputSpec(name="labels", layout="NHW", dtype="uint8", height=size[0], width=size[1])
    changes = {"rewrites": (), "kept_fp32": (), "verification": None, "outputs": (output,)}
    graph.metadata_props[ONNX_KEY] = manifest.model_copy(update=changes).to_json()
    ir.save(graph, path)
