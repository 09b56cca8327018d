"""Export a checkpoint to ONNX: rewrite, trace, type, check, verify, write."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common
import torch
from numpy.typing import NDArray

from edaformer.errors import InputError
from edaformer.export.fp16 import Kept, convert_to_fp16
from edaformer.export.graph import trace
from edaformer.export.options import ExportOptions
from edaformer.export.quantise import uncalibrated
from edaformer.export.quantise.calibrate import Calibration
from edaformer.export.quantise.parts import EightBits
from edaformer.export.quantise.quantise import Prepared, prepare, quantise
from edaformer.export.ranges import measure_ranges
from edaformer.export.rewrites import apply_rewrites, defaults
from edaformer.export.scan import scan
from edaformer.export.verify import (
    FP16_SHARE,
    Images,
    Probe,
    natural_noise,
    run_shipped,
    verify,
)
from edaformer.export.witness import FP32_SHARE, ask, witness_frames
from edaformer.export.wrapper import Deployment
from edaformer.families.architecture import Architecture
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.network import Network
from edaformer.families.settings import reference_settings
from edaformer.families.table import RecordedSizes, count
from edaformer.files import check_writable, sha256, write_whole
from edaformer.labels.border import check_pictures
from edaformer.labels.witness import Known, witness_bytes, witness_path
from edaformer.manifest import (
    ONNX_KEY,
    InputSpec,
    KeptFP32,
    Manifest,
    OutputSpec,
    Quantised,
    Ties,
    Verification,
    Written,
    network_name,
)
from edaformer.preprocess import (
    ALIGN,
    Normalisation,
    Resize,
    format_size,
    known_resize,
    network_input,
)
from edaformer.version import __version__

_log = logging.getLogger(__name__)

VERIFY_IMAGES = 2
MAX_LABELS = 256  # labels are uint8
IGNORE_LABEL = 255


@dataclass(frozen=True)
class ExportResult(Written):
    """The file that was written and what it is."""

    nodes: int
    file_bytes: int
    gmacs: float
    gmacs_base: float

    def to_json(self) -> dict[str, Any]:
        """Path, hash, seconds and manifest, and what the table shows beside them."""
        own = ("nodes", "file_bytes", "gmacs", "gmacs_base")
        return super().to_json() | {name: getattr(self, name) for name in own}


@reference_settings()
def export_model(
    checkpoint: Checkpoint,
    options: ExportOptions,
    path: Path,
    *,
    images: Images | None = None,
    calibration: Calibration | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> ExportResult:
    """Export ``checkpoint`` to ``path``, its witness frames beside it, if verification passes.

    Args:
        checkpoint: as loaded.
        options: what to bake in.
        path: the ONNX file.
        images: uint8 RGB (N, H, W, 3) of ``options.size`` to verify on; None makes two of noise.
            Eight bits are verified on pictures: None takes those of the calibration.
        calibration: pictures of that size, to measure the ranges of eight bits on.
        on_step: told what is being done.

    Raises:
        InputError: if the options do not fit the model or the path cannot be written.
        GateError: if the graph differs from PyTorch by more than the tolerance, or in eight bits
            its labels by more than the rule.
    """
    start = time.perf_counter()
    images = _pictures(images, calibration, options)
    inputs = (checkpoint.path, *checkpoint.path.glob("*"))  # of a folder, all its files
    check_writable(path, *inputs)
    check_writable(witness_path(path), *inputs)
    _check_classes(checkpoint)
    _check_size(checkpoint.variant, options)
    pictures = None if images is None else check_pictures(images.array, batch=True)
    _resize(checkpoint, options)
    images = _input_images(images, options, checkpoint.normalisation)
    reference = deployment(checkpoint.model(options.isr), options)
    on_step("tracing the graph")
    names = options.rewrites
    if names is None:
        names = defaults(options.precision, checkpoint.variant.name, options.attention)
    rewritten, rewrites = apply_rewrites(reference, names, options.attention)
    idle = [name for name in options.must_apply if name not in rewrites]
    if idle:
        raise InputError(f"{', '.join(idle)} finds nothing to rewrite in this export; leave it out")
    graph = trace_deployment(rewritten, options)
    select_outputs(graph, options.outputs)
    prepared = None
    if calibration is not None:
        on_step(f"measuring ranges on {len(calibration.images)} images of {calibration.source}")
        prepared = _prepare(graph, calibration, options, checkpoint.normalisation)
    if options.precision != "fp32":
        on_step("measuring ranges and typing FP16")
    types = _typed(graph, images, options, prepared)
    on_step(f"verifying against PyTorch float32 on {images.source}")
    probe = Probe(graph)
    verification = verify(
        probe, reference, images, tolerance=options.tolerance, rule=options.label_rule
    )
    if options.dynamic_size:
        _verify_another_size(probe, reference, options)
    manifest = _manifest(checkpoint, options, rewrites, types, verification)
    on_step("asking PyTorch for the witness frames")
    known = _witness(probe, reference, manifest, options, pictures)
    witness = witness_bytes(known, checkpoint_sha256=checkpoint.sha256, isr=manifest.isr)
    proto = _finish(graph)
    manifest = manifest.model_copy(update={
        "witness_sha256": hashlib.sha256(witness).hexdigest(),
        "graph_sha256": scan(proto.SerializeToString(deterministic=True)).sha256,
        "ties": None if options.eight_bits else _ties(known, options.precision),
    })  # fmt: skip
    network_name(manifest)  # so that a plan can carry it
    proto.metadata_props.add(key=ONNX_KEY, value=manifest.model_dump_json())
    data = proto.SerializeToString(deterministic=True)
    run_shipped(data, images, options.batch)
    witness_path(path).unlink(missing_ok=True)  # at no moment has a file another one's beside it
    write_whole(path, data)
    write_whole(witness_path(path), witness)
    size = options.geometry.padded
    return ExportResult(
        path=path,
        sha256=sha256(path),
        seconds=time.perf_counter() - start,
        manifest=manifest,
        nodes=len(proto.graph.node),
        file_bytes=len(data),
        gmacs=count(checkpoint.variant, checkpoint.num_classes, size, options.isr).gmacs,
        gmacs_base=count(checkpoint.variant, checkpoint.num_classes, size).gmacs,
    )


def _pictures(
    images: Images | None, calibration: Calibration | None, options: ExportOptions
) -> Images | None:
    """What to verify on; refuses a calibration that is missing, not asked for, or no good."""
    if not options.eight_bits:
        if calibration is not None:
            raise InputError(
                f"--calibrate is for int8 and fp8, {options.precision} has no scales; leave it out"
            )
        return images
    if calibration is None:
        raise uncalibrated(options.precision)
    if images is not None:
        return images
    return Images(calibration.images[:VERIFY_IMAGES], "images it was calibrated on")


def _prepare(
    graph: ir.Model, calibration: Calibration, options: ExportOptions, how: Normalisation
) -> Prepared:
    """The nodes that will compute in eight bits, and the ranges there."""
    pixels = network_input(check_pictures(calibration.images, batch=True), options.input, how)
    batches = Images(pixels, calibration.source).batches(options.batch or 1)
    precision = cast(EightBits, options.precision)
    return prepare(graph, precision, options.quantise, calibration, batches, name=options.input)


def _witness(
    probe: Probe,
    reference: Deployment,
    manifest: Manifest,
    options: ExportOptions,
    pictures: NDArray[np.uint8] | None,
) -> tuple[Known, ...]:
    """The witness frames, the graph itself tried on them."""
    frames = witness_frames(options.size, manifest.input.normalisation, pictures)
    return ask(probe, reference, frames, manifest, tolerance=options.tolerance)


def _verify_another_size(probe: Probe, reference: Deployment, options: ExportOptions) -> None:
    """A dynamic size must hold where it was not traced: one step taller, two steps wider."""
    height, width = options.size
    size = (height + ALIGN, width + 2 * ALIGN)
    noise = network_input(natural_noise(1, size), options.input, reference.model.normalisation)
    other = Images(noise, f"noise of {format_size(size)}")
    if options.batch is not None:
        other = Images(np.repeat(other.array, options.batch, axis=0), other.source)
    if options.eight_bits:  # noise is no picture to agree on: that it runs is what is asked
        for batch in other.batches(options.batch):
            probe.run(batch)
        return
    verify(probe, reference, other, tolerance=options.tolerance)


def _check_size(variant: Architecture, options: ExportOptions) -> None:
    """A network that goes back to the image's size doubles maps whose sides were rounded up."""
    largest = min(stride for _, stride in variant.kept_maps)
    padded = options.geometry.padded
    if variant.logits_stride < largest and any(side % ALIGN for side in padded):
        raise InputError(
            f"a {variant.title} upsamples to the image's size itself and takes multiples of {ALIGN}"
            f" alone, got {format_size(padded)}; leave --align out, or give such a --size"
        )


def _check_classes(checkpoint: Checkpoint) -> None:
    if checkpoint.num_classes > MAX_LABELS:
        raise InputError(
            f"labels are uint8 and hold {MAX_LABELS} classes, the checkpoint has "
            f"{checkpoint.num_classes}; use one of at most {MAX_LABELS}"
        )
    names = checkpoint.classes
    if names is not None and len(names) != checkpoint.num_classes:
        raise InputError(
            f"the checkpoint names {len(names)} classes and has {checkpoint.num_classes}; give "
            "each its name in the checkpoint's meta"
        )
    for at, name in enumerate(names or ()):
        if not name.isprintable():
            raise InputError(
                f"the name of class {at} holds {name!r}, which is no printable line of text; "
                "rename it in the checkpoint's meta"
            )


def _resize(checkpoint: Checkpoint, options: ExportOptions) -> Resize:
    return options.resize or known_resize(checkpoint.resize, "choose one with --resize")


def _input_images(
    images: Images | None, options: ExportOptions, normalisation: Normalisation
) -> Images:
    """Verification images as the graph's input takes them."""
    if images is None:
        images = Images(natural_noise(VERIFY_IMAGES, options.size), "seeded 1/f noise")
    pixels = check_pictures(images.array, batch=True)
    return Images(network_input(pixels, options.input, normalisation), images.source)


def deployment(model: Network, options: ExportOptions) -> Deployment:
    """The model with the input and outputs that ``options`` ask for, unrewritten."""
    extra = ("probabilities",) if "probabilities" in options.outputs else ()
    return Deployment(
        model,
        options.geometry,
        image_input=options.input != "tensor",
        planar=options.input == "planar",
        outputs=("labels", "logits", *extra),
        shipped=options.outputs,
    ).eval()


def trace_deployment(module: Deployment, options: ExportOptions) -> ir.Model:
    """Its float32 graph, with all outputs it has."""
    height, width = options.size
    batch = options.batch or 2  # a dynamic batch is traced with two, since one would be specialised
    if options.input == "image":
        example = torch.zeros(batch, height, width, 3, dtype=torch.uint8)
    else:
        example = torch.zeros(batch, 3, height, width)
    return trace(module, example, opset=options.operator_set, dynamic_batch=options.batch is None)


def select_outputs(graph: ir.Model, outputs: tuple[str, ...]) -> None:
    """Keep the outputs asked for, in their order, and what leads to them."""
    named = {value.name: value for value in graph.graph.outputs}
    graph.graph.outputs.clear()
    graph.graph.outputs.extend(named[name] for name in outputs)
    drop_unused(graph)


def drop_unused(graph: ir.Model) -> None:
    """Remove nodes and weights that nothing reads."""
    onnx_ir.passes.common.RemoveUnusedNodesPass()(graph)


def _ties(known: tuple[Known, ...], precision: str) -> Ties:
    """What rounding explains on the witness frames; the other precision's in proportion."""
    own, ratio = max(one.tolerance for one in known), FP16_SHARE / FP32_SHARE
    return (
        Ties(fp16=own, fp32=own / ratio)
        if precision == "fp16"
        else Ties(fp16=own * ratio, fp32=own)
    )


def _finish(graph: ir.Model) -> onnx.ModelProto:
    """Checked and shape-inferred."""
    proto = ir.to_proto(graph)
    proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _typed(
    graph: ir.Model, images: Images, options: ExportOptions, prepared: Prepared | None
) -> tuple[tuple[KeptFP32, ...], Quantised | None]:
    """Types ``graph`` as asked for, in place; what stayed in FP32, and what is in eight bits."""
    kept: tuple[Kept, ...] = ()
    if options.precision != "fp32":
        ranges = measure_ranges(graph, images.batches(options.batch), name=options.input)
        kept = convert_to_fp16(graph, ranges)
    quantised = None if prepared is None else quantise(graph, prepared, kept)
    drop_unused(graph)
    return _kept_modules(kept), quantised


def _kept_modules(kept: tuple[Kept, ...]) -> tuple[KeptFP32, ...]:
    """Reasons with the modules they concern, for the manifest."""
    return tuple(
        KeptFP32(
            reason=item.reason,
            why=item.why,
            modules=tuple(sorted({name.partition("/")[0] for name in item.nodes})),
        )
        for item in kept
    )


def _manifest(
    checkpoint: Checkpoint,
    options: ExportOptions,
    rewrites: tuple[str, ...],
    types: tuple[tuple[KeptFP32, ...], Quantised | None],
    verification: Verification,
) -> Manifest:
    (height, width), (rows, columns) = options.geometry.size, options.geometry.padded
    is_image = options.input == "image"
    variant = checkpoint.variant
    stride = variant.logits_stride
    logits_size = (-(-rows // stride), -(-columns // stride))
    pads = options.input != "tensor" and not options.dynamic_size
    outputs: dict[str, OutputSpec] = {
        "labels": OutputSpec(
            name="labels", layout="NHW", dtype="uint8", height=height, width=width
        ),
        "logits": OutputSpec(
            name="logits", layout="NCHW", dtype="float32",
            height=logits_size[0], width=logits_size[1],
        ),
        "probabilities": OutputSpec(
            name="probabilities", layout="NCHW", dtype="float32", height=height, width=width
        ),
    }  # fmt: skip
    return Manifest(
        tool_version=__version__,
        variant=variant.name,
        channels="BGR" if checkpoint.bgr else "RGB",
        sizes=variant if isinstance(variant, RecordedSizes) else None,
        isr=str(options.isr),
        num_classes=checkpoint.num_classes,
        ignore_label=IGNORE_LABEL,
        checkpoint_sha256=checkpoint.sha256,
        adapted=checkpoint.adapted,
        hub=checkpoint.hub,
        precision=options.precision,
        attention=options.attention,
        opset=options.operator_set,
        input=InputSpec(
            name=options.input,
            layout="NHWC" if is_image else "NCHW",
            dtype="uint8" if is_image else "float32",
            batch=options.batch,
            height=height,
            width=width,
            dynamic_size=options.dynamic_size,
            mean=checkpoint.normalisation.mean,
            std=checkpoint.normalisation.std,
            align=options.align if pads else None,
            padded_height=rows,
            padded_width=columns,
            resize=_resize(checkpoint, options),
        ),
        outputs=tuple(outputs[name] for name in options.outputs),
        logits_stride=stride,
        classes=checkpoint.classes,
        palette=checkpoint.palette,
        rewrites=rewrites,
        kept_fp32=types[0],
        quantised=types[1],
        verification=verification,
    )
