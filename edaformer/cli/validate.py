"""``edaformer-validate``: an artifact against PyTorch, on images with ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import (
    DATA,
    DEBUG,
    JSON,
    LABELS,
    PROCESSES,
    RAY,
    TRUST_LABELS,
    VERSION,
    guarded,
    print_json,
    run,
    say,
    shares,
    spread_of,
)
from edaformer.cli.options.checkpoints import HUB, METAVAR
from edaformer.cli.options.threads import THREADS
from edaformer.cli.texts.validation import print_saved, print_validation
from edaformer.cli.validation_ways import Desk, by_reference
from edaformer.errors import EXIT_GATE, InputError
from edaformer.machine.threads import share_cores

if TYPE_CHECKING:
    from edaformer.engines.spread.spread import Spread
    from edaformer.engines.validate.reference_cache import ReferenceCache
    from edaformer.engines.validate.validation import Validation


@guarded
def validate(
    artifact: Annotated[
        Path | None,
        typer.Argument(
            help="An .onnx, a .plan where a GPU is, or triton://HOST:PORT/MODEL. Left out: only "
            "save a reference, for the artifact that --isr, --size and --align describe."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar=METAVAR,
            help=f"The checkpoint the artifact came from, or {HUB}. Default: the demo's.",
        ),
    ] = None,
    data: Annotated[str | None, DATA] = None,
    labels: Annotated[str | None, LABELS] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    protocol: Annotated[
        Literal["native", "ade20k", "cityscapes"] | None,
        typer.Option(help="The release's way to evaluate. Default: the data set's."),
    ] = None,
    scales: Annotated[
        str, typer.Option(help="Average over these ratios of the image, such as 0.75,1,1.25.")
    ] = "1",
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored image.")] = False,
    fit: Annotated[
        Literal["resize", "pad", "slide"] | None,
        typer.Option(
            help="What the artifact does with images of another size than its own. Default: "
            "slide where it gives logits, else resize."
        ),
    ] = None,
    frames: Annotated[
        bool,
        typer.Option(
            "--frames",
            help="Also start from the pictures: PyTorch behind the checkpoint's own processor, the "
            "artifact behind the runtime's resizing.",
        ),
    ] = False,
    max_miou_drop: Annotated[
        float | None,
        typer.Option(
            help="Points by which the artifact's mIoU may differ at the same ISR. Default: 0.1; of "
            "int8 and fp8 0.3, and only a loss counts."
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            help="Least fraction of equal labels at the same ISR. Default: all but rounding ties; "
            "of int8 and fp8 0.993, and 0.98 of the worst image."
        ),
    ] = None,
    trust_labels: Annotated[bool, TRUST_LABELS] = False,
    provider: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where ONNX Runtime computes.")
    ] = "auto",
    threads: Annotated[int | None, THREADS] = None,
    workers: Annotated[
        int, typer.Option(help="Threads that read images ahead, in each process.")
    ] = 1,
    processes: Annotated[int | None, PROCESSES] = None,
    ray: Annotated[str | None, RAY] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep PyTorch's predictions in this folder. Default: $XDG_CACHE_HOME/edaformer."
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor keep PyTorch's predictions.")
    ] = False,
    original: Annotated[
        str | None,
        typer.Option(
            metavar=METAVAR,
            help="The checkpoint that an adapted one was made from: its base ISR is a row, too. "
            "Default: the file of its name beside it.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Compare with the answers in this file: needs no PyTorch, checkpoint or data."
        ),
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(help="Write PyTorch's answers to this file, for --reference on a device."),
    ] = None,
    without_images: Annotated[
        bool,
        typer.Option(
            "--without-images", help="Save no pixels: the device has the data (--data there)."
        ),
    ] = False,
    isr: Annotated[
        str | None, typer.Option(help="Without an artifact: its pooling ratios. Default: base.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Without an artifact: its HxW, or dynamic. Default: the checkpoint's own where "
            "recorded, else 512x512."
        ),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            help="Without an artifact: what it pads to multiples of, or none. Default: 32."
        ),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Without an artifact, as for export.")] = None,
    std: Annotated[str | None, typer.Option(help="Without an artifact, as for export.")] = None,
    bgr: Annotated[bool, typer.Option("--bgr", help="Without an artifact, as for export.")] = False,
    heads: Annotated[str | None, typer.Option(help="Without an artifact, as for export.")] = None,
    align_corners: Annotated[
        Literal["none", "logits", "all"] | None,
        typer.Option(help="Without an artifact, as for export."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the figures and the worst images as an HTML page.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write the gates as JUnit XML, for CI.")
    ] = None,
    find: Annotated[
        bool,
        typer.Option(
            "--bisect",
            help="Name the first module that leaves float32; a plan needs its .onnx beside it.",
        ),
    ] = False,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Show the IoU of every class.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Compare an artifact with PyTorch float32: what ISR costs, what precision costs.

    Exit code 1 when a gate fails, or the truth is found not to be the truth.

    Example: edaformer-validate model.onnx --checkpoint model.pth --data camvid:CamVid

    On a device: edaformer-validate model.plan --reference street.ref
    """
    from edaformer.engines.validate.gates import Gates
    from edaformer.families.given import given

    share_cores(threads)
    gates = Gates(max_miou_drop, min_agreement, trust_labels=trust_labels)
    if without_images and save_reference is None and reference is None:
        raise InputError("--without-images is for --save-reference; leave it out")
    outputs = {"--report": report, "--junit": junit, "--save-reference": save_reference}
    _check_outputs(outputs, [artifact, Path(checkpoint) if checkpoint else None, reference])
    at_the_desk = {
        "--checkpoint": checkpoint, "--original": original, "--protocol": protocol,
        "--scales": scales != "1", "--flip": flip, "--fit": fit, "--frames": frames,
        "--cache": cache, "--no-cache": no_cache,
        "--bisect": find, "--save-reference": save_reference, "--labels": labels,
        "--without-images": without_images,
    }  # fmt: skip
    spread = _spread(processes, ray, save_reference)
    described = {
        "--isr": isr, "--size": size, "--align": align, "--mean": mean, "--std": std, "--bgr": bgr,
        "--heads": heads, "--align-corners": align_corners,
    }  # fmt: skip
    if reference is not None:
        why = "the reference says it, or stands in for it; leave it out"
        _refuse({**at_the_desk, **described}, why)
        result = by_reference(artifact, reference, data, limit, gates, provider, workers, spread)
    else:
        desk = Desk(
            checkpoint=checkpoint, original=original,
            given=given(mean, std, bgr=bgr, heads=heads, align_corners=align_corners),
            data=data or "scenes",
            labels=labels, limit=limit, protocol=protocol,
            scales=_ratios(scales), flip=flip, fit=fit, frames=frames,
            cache=_cache(cache, unused=no_cache), workers=workers, save=save_reference,
            with_images=not without_images, spread=spread,
        )  # fmt: skip
        if artifact is None:
            judging = {
                "--report": report, "--junit": junit, "--bisect": find, "--json": as_json,
                "--per-class": per_class, "--trust-labels": trust_labels,
                "--provider": provider != "auto", "--processes": processes, "--ray": ray,
                "--max-miou-drop": max_miou_drop is not None,
                "--min-agreement": min_agreement is not None,
            }  # fmt: skip
            _refuse(judging, "nothing is judged without an artifact; name one, or leave it out")
            desk.save_for(isr, size, align)
            return
        _refuse(described, "the artifact says it; leave it out")
        result = desk.validate(artifact, gates, provider, find=find)
    _write(result, report, junit)
    if as_json:
        print_json({**result.to_json(), **shares(spread)})
    else:
        print_validation(result, per_class=per_class)
    if save_reference is not None:
        print_saved(save_reference, artifact, (data or "scenes") if without_images else None)
    if result.refused is not None:
        say(f"labels refused: {result.refused.refusal}")
    for gate in result.gates:
        if gate.failure is not None:
            say(f"gate failed: {gate.failure}")
    if result.failures:
        raise typer.Exit(EXIT_GATE)


def _spread(processes: int | None, ray: str | None, save: Path | None) -> Spread | None:
    if save is not None and (processes, ray) != (None, None):
        raise InputError(
            "--save-reference writes the images in their order, from one process: validate with "
            "many first and save then, alone; what they computed is in the cache"
        )
    return spread_of(processes, ray)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for option, given in options.items():
        if given:
            raise InputError(f"{option}: {why}")


def _check_outputs(outputs: Mapping[str, Path | None], inputs: list[Path | None]) -> None:
    """Refuse what cannot be written before an hour is spent on it."""
    from edaformer.files import check_writable

    taken = [file for file in inputs if file is not None]
    for option, output in outputs.items():
        if output is not None:
            check_writable(output, *taken, option=option)
            taken.append(output)


def _cache(folder: Path | None, *, unused: bool) -> ReferenceCache | None:
    from edaformer.engines.validate.reference_cache import ReferenceCache, default_folder

    if unused and folder is not None:
        raise InputError("--cache and --no-cache exclude each other; leave one out")
    if unused:
        return None
    folder = folder or default_folder()
    if folder is None:
        say("note: this user has no home, so PyTorch's predictions are not kept; --cache names one")
        return None
    return ReferenceCache(folder, on_note=say)


def _ratios(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"expected --scales such as 0.75,1,1.25, got '{text}'") from error


def _write(result: Validation, report: Path | None, junit: Path | None) -> None:
    from edaformer.engines.validate.reports.junit import junit_xml
    from edaformer.engines.validate.reports.page import html_report
    from edaformer.files import write_whole

    if report is not None:
        write_whole(report, html_report(result).encode())
        say(f"wrote {report}")
    if junit is not None:
        write_whole(junit, junit_xml(result))
        say(f"wrote {junit}")


def main() -> None:
    """The console script ``edaformer-validate``."""
    run(validate)
