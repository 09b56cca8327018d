"""``edaformer-export``: a checkpoint to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import (
    ALIGN_CORNERS,
    BGR,
    DEBUG,
    HEADS,
    JSON,
    MEAN,
    NAMES,
    PLAN_SUFFIXES,
    STD,
    VERSION,
    guarded,
    output_path,
    print_json,
    print_pairs,
    run,
    say,
    say_next,
    say_notes,
)
from edaformer.cli.options.checkpoints import HUB, find
from edaformer.cli.options.eight_bits import check_eight_bits
from edaformer.cli.options.threads import THREADS
from edaformer.cli.progress import steps
from edaformer.errors import InputError, require
from edaformer.machine.threads import share_cores

if TYPE_CHECKING:
    from edaformer.export.exporter import ExportResult
    from edaformer.export.options import ExportOptions
    from edaformer.export.quantise.calibrate import Calibration
    from edaformer.export.verify import Images
    from edaformer.families.checkpoint import Checkpoint
    from edaformer.manifest import Manifest, Verification

_NAMES_SHOWN = 4  # modules of a reason; the manifest has them all


@guarded
def export(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            help="A trained EDAFormer, SegFormer or FeedFormer: a .pth or .safetensors, a folder "
            f"(docs/segformer.md), or {HUB}. Default: the demo's.",
        ),
    ] = None,
    isr: Annotated[
        str, typer.Option(help="Pooling ratios: 16,8,4,1 or 16,8,4,1-2,4,8, base or paper.")
    ] = "base",
    size: Annotated[
        str | None,
        typer.Option(
            help="Input HxW, or dynamic (any multiple of 32, bounded when the engine is built). "
            "Default: the checkpoint's own where recorded, else 512x512."
        ),
    ] = None,
    precision: Annotated[
        Literal["fp16", "fp32", "int8", "fp8"],
        typer.Option(
            help="Written into the graph's types. int8, fp8: of the parts of --quantise, the rest "
            "in fp16 (docs/quantisation.md)."
        ),
    ] = "fp16",
    quantise: Annotated[
        str | None,
        typer.Option(
            "--quantise",
            "--quantize",
            help="Parts in eight bits: attention, projections, mlp, embed, decoder, some with "
            "commas, or all. Default: attention.",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Measure the ranges of int8 and fp8 on these: scenes, camvid:DIR or folder:DIR."
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(help="labels, logits, probabilities, or some with commas. Default: labels."),
    ] = None,
    for_: Annotated[
        Literal["any", "runtime"],
        typer.Option(
            "--for", help="runtime: logits at 1/8, which edaformer's own runtime turns into labels."
        ),
    ] = "any",
    input_: Annotated[
        Literal["image", "tensor", "planar"],
        typer.Option(
            "--input",
            help="image: uint8 (N,H,W,3) RGB. planar: float32 (N,3,H,W) RGB holding 0 to 255, as "
            "DeepStream gives it. tensor: the same, normalised by the caller.",
        ),
    ] = "image",
    batch: Annotated[str, typer.Option(help="Images at a time: a number or dynamic.")] = "1",
    opset: Annotated[
        int | None,
        typer.Option(help="18, 19 or 20. Default: 18; of int8 and fp8, which need it, 19."),
    ] = None,
    align: Annotated[
        str, typer.Option(help="Pad image or planar input to multiples of this, or none.")
    ] = "32",
    resize: Annotated[
        Literal["opencv-bilinear", "pillow-bilinear"] | None,
        typer.Option(
            help="How the runtime resizes frames of another size: OpenCV's bilinear, or Pillow's, "
            "antialiased. Default: as the checkpoint's own processor."
        ),
    ] = None,
    mean: Annotated[str | None, MEAN] = None,
    std: Annotated[str | None, STD] = None,
    bgr: Annotated[bool, BGR] = False,
    heads: Annotated[str | None, HEADS] = None,
    align_corners: Annotated[Literal["none", "logits", "all"] | None, ALIGN_CORNERS] = None,
    names: Annotated[Path | None, NAMES] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The ONNX file to write.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Verify on these: scenes, camvid:DIR or folder:DIR. Default: noise."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="How many images of --data to verify on. Default: 2. With --calibrate: how many "
            "to calibrate on, evenly from its whole. Default: up to 32."
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            help="Least fraction of labels that int8 or fp8 must have in common with PyTorch. "
            "Default: 0.993, of the worst image 0.98."
        ),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest logit error allowed. Default: by precision.")
    ] = None,
    rewrites: Annotated[
        str, typer.Option(help="Exact rewrites: default, all, none, or names with commas.")
    ] = "default",
    no_rewrite: Annotated[
        list[str] | None, typer.Option(help="Leave this one out; may be given again.")
    ] = None,
    attention: Annotated[
        Literal["fused", "unfused"],
        typer.Option(
            help="unfused: written so that TensorRT does not fuse it, for GPUs whose fused "
            "attention is wrong (docs/attention.md)."
        ),
    ] = "fused",
    threads: Annotated[int | None, THREADS] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file of the default name.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Export a checkpoint to ONNX, the ISR ratios baked in, verified against PyTorch.

    Example: edaformer-export edaformer_t.pth --isr 16,8,4,1 --size 512x512
    """
    from edaformer.data import check_data
    from edaformer.families.given import given
    from edaformer.files import check_writable
    from edaformer.preprocess import parse_size

    share_cores(threads)
    dynamic = size == "dynamic"
    wanted = parse_size(size) if size is not None and not dynamic else None
    said = given(mean, std, bgr=bgr, names=names, heads=heads, align_corners=align_corners)
    if limit is not None and data is None and calibrate is None:
        raise InputError(
            "--limit is for the images of --data or --calibrate; name some, or leave it out"
        )
    check_eight_bits(precision, calibrate, {"--quantise": quantise})
    for spec in filter(None, (data, calibrate)):
        check_data(spec)
    source = find(checkpoint)
    if output is not None:
        check_writable(output, source.path)
    with steps("loading PyTorch") as on_step:
        for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
            require(package, "export")
        from edaformer.export.exporter import export_model
        from edaformer.export.options import ExportOptions
        from edaformer.export.quantise.parts import parse_parts
        from edaformer.export.rewrites import choose
        from edaformer.families.table import load_checkpoint
        from edaformer.isr import ISR
        from edaformer.preprocess import ALIGN, DEFAULT_SIZE, aligned, parse_align

        loaded = load_checkpoint(source, said)
        say_notes(loaded.notes)
        chosen_rewrites = choose(
            rewrites, tuple(no_rewrite or ()),
            precision=precision, variant=loaded.variant.name, attention=attention,
        )  # fmt: skip
        input_size = wanted or loaded.input_size or DEFAULT_SIZE
        options = ExportOptions(
            isr=ISR.parse(isr, loaded.places),
            size=aligned(input_size, ALIGN) if dynamic else input_size,
            dynamic_size=dynamic,
            rewrites=chosen_rewrites,
            must_apply=() if rewrites in {"default", "all", "none"} else chosen_rewrites,
            precision=precision,
            attention=attention,
            outputs=_outputs(outputs, for_),  # type: ignore[arg-type]  # checked by ExportOptions
            input=input_,
            batch=_batch(batch),
            opset=opset,
            align=parse_align(align),
            resize=resize,
            tolerance=tolerance,
            quantise=parse_parts(quantise),
            min_agreement=min_agreement,
        )
        if loaded.adapted is not None and (other := loaded.adapted.other_than(str(options.isr))):
            say(f"warning: {other}")
        default = Path(options.default_name(loaded))
        path = output_path(output, default, force=force, not_named=PLAN_SUFFIXES)
        images, calibration = _pictures(data, calibrate, limit, options, loaded)
        _say_defaults(size, loaded, options, output, path)
        result = export_model(
            loaded, options, path, images=images, calibration=calibration, on_step=on_step
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print_result(result, loaded)
    say_next("edaformer-build", path)
    if data is not None or checkpoint is None:
        own = [] if checkpoint is None else ["--checkpoint", source.called]
        on = [] if data is None else ["--data", data]
        say_next("edaformer-validate", path, *own, *on, when="what it loses")


def _say_defaults(
    size: str | None, checkpoint: Checkpoint, options: ExportOptions, output: Path | None,
    path: Path,
) -> None:  # fmt: skip
    """What was taken because nobody said otherwise."""
    from edaformer.preprocess import format_size

    if size is None:
        origin = checkpoint.origins.input_size
        say(f"no --size given: exporting for {format_size(options.size)} ({origin})")
    if output is None:
        say(f"no -o given: writing {path}")


def _outputs(text: str | None, target: str) -> tuple[str, ...]:
    if target == "runtime" and text not in {None, "logits"}:
        raise InputError(f"--for runtime means --outputs logits, got {text}; leave one of them out")
    if text is None:
        return ("logits",) if target == "runtime" else ("labels",)
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= {"labels", "logits", "probabilities"}:
        raise InputError(
            f"expected --outputs out of labels, logits and probabilities, got '{text}'"
        )
    return names


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise InputError(f"expected --batch as a number or 'dynamic', got '{text}'")
    return int(text)


def _pictures(
    data: str | None, calibrate: str | None, limit: int | None, options: ExportOptions,
    checkpoint: Checkpoint,
) -> tuple[Images | None, Calibration | None]:  # fmt: skip
    """What to verify on, and what to calibrate on."""
    from edaformer.cli.options.calibration import calibration_of
    from edaformer.export.exporter import VERIFY_IMAGES

    if calibrate is None:
        images = (
            None
            if data is None
            else _images(data, VERIFY_IMAGES if limit is None else limit, options)
        )
        return images, None
    calibration, others = calibration_of(calibrate, limit, options.size, checkpoint)
    return others if data is None else _images(data, VERIFY_IMAGES, options), calibration


def _images(spec: str, limit: int, options: ExportOptions) -> Images:
    import numpy as np

    from edaformer.data import open_dataset
    from edaformer.export.verify import Images
    from edaformer.preprocess import format_size

    samples = list(open_dataset(spec, options.size).head(limit))
    for sample in samples:
        got = (sample.image.shape[0], sample.image.shape[1])
        if got != options.size:
            raise InputError(
                f"image {sample.name} of --data is {format_size(got)} and the export is "
                f"{format_size(options.size)}; use --size {format_size(got)}"
            )
    return Images(np.stack([s.image for s in samples]), f"{len(samples)} images of {spec}")


def _print_result(result: ExportResult, checkpoint: Checkpoint) -> None:
    from edaformer.engines.artifact.inspect import class_names, normalised

    manifest, check = result.manifest, result.manifest.verification
    assert check is not None
    spec = manifest.input
    batch = spec.batch if spec.batch is not None else "N"
    padded = f"{spec.padded_height}x{spec.padded_width}"
    height, width = ("H", "W") if spec.dynamic_size else (spec.height, spec.width)
    shape = f"({batch}, {height}, {width}, 3)"
    if spec.layout == "NCHW":
        shape = f"({batch}, 3, {height}, {width})"
    padding = f", padded to {padded} inside" if padded != f"{spec.height}x{spec.width}" else ""
    if spec.dynamic_size:
        padding = f", multiples of 32, verified at {padded}"
    saving = 1 - result.gmacs / result.gmacs_base
    rounding = ", float16 rounding emulated" if check.rounding_emulated else ""
    outputs = ", ".join(f"{o.name} {o.dtype} {o.height}x{o.width}" for o in manifest.outputs)
    allowed = "" if check.tolerance is None else f" (allowed {check.tolerance:.2g})"
    kept = "; ".join(f"{k.reason} ({_some(k.modules)})" for k in manifest.kept_fp32 or ())
    print_pairs(
        str(result.path),
        [
            ("model", f"{manifest.title}, {manifest.num_classes} classes"),
            ("format", checkpoint.format or None),
            *checkpoint.assumed,
            ("ISR", manifest.isr),
            ("adapted for", manifest.adapted and manifest.adapted.text),
            ("input", f"{spec.name} {spec.dtype} {shape}{padding}"),
            ("normalised", normalised(checkpoint)),
            ("class names", class_names(checkpoint)),
            ("outputs", outputs),
            ("precision", manifest.precision),
            ("attention", "unfused" if manifest.attention == "unfused" else None),
            ("kept in FP32", kept or None),
            *_eight_bits(manifest),
            ("GMACs", f"{result.gmacs_base:.2f} -> {result.gmacs:.2f} ({saving:.1%} saved)"),
            ("graph", f"{result.nodes} nodes, opset {manifest.opset}, {_mb(result.file_bytes)}"),
            ("rewrites", ", ".join(manifest.rewrites or ()) or None),
            ("verified on", f"{check.source}{rounding}"),
            ("logit error", f"max {check.max_logit_error:.2g}{allowed}, "
              f"mean {check.mean_logit_error:.2g}; cosine {check.cosine:.7f}"),
            ("labels agree", _agreement(check)),
            ("time", f"{result.seconds:.1f} s"),
        ],
    )  # fmt: skip


def _agreement(check: Verification) -> str:
    if check.label_miou is None or check.label_agreement_worst is None:
        return (
            f"{check.label_agreement:.4%} of all pixels, "
            f"{check.label_agreement_decided:.4%} of those beyond rounding ties"
        )
    return (
        f"{check.label_agreement:.3%} of all pixels, worst image "
        f"{check.label_agreement_worst:.3%}; mIoU {check.label_miou:.2f} with PyTorch's labels"
    )


def _eight_bits(manifest: Manifest) -> list[tuple[str, object]]:
    """What computes in eight bits, and what does not."""
    own = manifest.quantised
    if own is None:
        return []
    left = "; ".join(f"{one.reason} ({len(one.nodes)})" for one in own.left_out)
    return [
        ("eight bits", f"{', '.join(own.parts)}: {len(own.nodes)} nodes"),
        ("left in FP16", left or None),
        ("calibrated on", f"{len(own.images)} images of {own.source}, {own.method}"),
    ]


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def main() -> None:
    """The console script ``edaformer-export``."""
    run(export)
