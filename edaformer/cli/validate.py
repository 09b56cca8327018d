"""``edaformer-validate``: an artifact against PyTorch, on images with ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import DATA, DEBUG, JSON, guarded, or_demo, print_json, run, say
from edaformer.cli.progress import image_progress
from edaformer.cli.validation_text import print_validation
from edaformer.errors import EXIT_GATE, InputError, require

if TYPE_CHECKING:
    from edaformer.engines.validate.reference_cache import ReferenceCache
    from edaformer.engines.validate.validation import Validation


@guarded
def validate(
    artifact: Annotated[Path, typer.Argument(help="An .onnx, or a .plan where a GPU is.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint the artifact came from. Default: the demo's."),
    ] = None,
    data: Annotated[str, DATA] = "scenes",
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
    max_miou_drop: Annotated[
        float, typer.Option(help="Points of mIoU the artifact may lose at the same ISR.")
    ] = 0.1,
    min_agreement: Annotated[
        float, typer.Option(help="Least fraction of equal labels at the same ISR.")
    ] = 0.999,
    provider: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where ONNX Runtime computes.")
    ] = "auto",
    workers: Annotated[int, typer.Option(help="Threads that read images ahead.")] = 1,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep PyTorch's predictions in this folder. Default: $XDG_CACHE_HOME/edaformer."
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor keep PyTorch's predictions.")
    ] = False,
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
) -> None:
    """Compare an artifact with PyTorch float32: what ISR costs, what precision costs.

    Exit code 1 when a gate fails.

    Example: edaformer-validate model.onnx --checkpoint model.pth --data camvid:CamVid
    """
    require("torch", "export")
    from edaformer.data import open_dataset
    from edaformer.engines.artifact.kind import artifact_manifest
    from edaformer.engines.validate.bisect import bisect, probed
    from edaformer.engines.validate.validate import validate as validate_artifact
    from edaformer.engines.validate.validation import Gates
    from edaformer.evaluation.protocol import get_protocol
    from edaformer.families.table import load_checkpoint

    gates = Gates(max_miou_drop=max_miou_drop, min_agreement=min_agreement)
    _check_outputs([report, junit], [artifact, checkpoint])
    kept = _cache(cache, unused=no_cache)
    if find:
        probed(artifact)  # so that what is missing is said before an hour's work
    dataset = open_dataset(data, artifact_manifest(artifact).size).head(limit)
    way = get_protocol(protocol or dataset.protocol, scales=_ratios(scales), flip=flip)
    for note in dataset.notes:
        say(f"note: {note}")
    loaded = load_checkpoint(or_demo(checkpoint))
    with image_progress() as on_image:
        result = validate_artifact(
            artifact, loaded, dataset, gates=gates, provider=provider, protocol=way, fit=fit,
            cache=kept, workers=workers, on_image=on_image,
        )  # fmt: skip
    if find:
        worst = result.worst[0]
        departure = bisect(artifact, loaded, worst.image, name=worst.name, protocol=way, fit=fit)
        result = replace(result, departure=departure)
    _write(result, report, junit)
    if as_json:
        print_json(result.to_json())
    else:
        print_validation(result, per_class=per_class)
    for failure in result.failures:
        say(f"gate failed: {failure}")
    if result.failures:
        raise typer.Exit(EXIT_GATE)


def _check_outputs(outputs: list[Path | None], inputs: list[Path | None]) -> None:
    """Refuse what cannot be written before an hour is spent on it."""
    from edaformer.files import check_writable

    taken = [file for file in inputs if file is not None]
    for output in outputs:
        if output is not None:
            check_writable(output, *taken)
            taken.append(output)


def _cache(folder: Path | None, *, unused: bool) -> ReferenceCache | None:
    from edaformer.engines.validate.reference_cache import ReferenceCache, default_folder

    if unused and folder is not None:
        raise InputError("--cache and --no-cache exclude each other; leave one out")
    return None if unused else ReferenceCache(folder or default_folder(), on_note=say)


def _ratios(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"expected --scales such as 0.75,1,1.25, got '{text}'") from error


def _write(result: Validation, report: Path | None, junit: Path | None) -> None:
    from edaformer.engines.validate.junit import junit_xml
    from edaformer.engines.validate.report import html_report
    from edaformer.files import write_whole

    if report is not None:
        write_whole(report, html_report(result).encode())
    if junit is not None:
        write_whole(junit, junit_xml(result))


def main() -> None:
    """The console script ``edaformer-validate``."""
    run(validate)
