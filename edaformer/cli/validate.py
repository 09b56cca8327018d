"""``edaformer-validate``: an artifact against PyTorch, on images with ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import DATA, DEBUG, JSON, guarded, or_demo, print_json, run, say
from edaformer.cli.progress import image_progress
from edaformer.cli.validation_text import print_saved, print_validation
from edaformer.errors import EXIT_GATE, InputError, require

if TYPE_CHECKING:
    from edaformer.data import Dataset
    from edaformer.engines.validate.reference_cache import ReferenceCache
    from edaformer.engines.validate.validation import Gates, Validation
    from edaformer.evaluation.protocol import Protocol

_DATA = "scenes"


@guarded
def validate(
    artifact: Annotated[
        Path | None,
        typer.Argument(
            help="An .onnx, or a .plan where a GPU is. Left out: only save a reference, for the "
            "artifact that --isr, --size and --align describe."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint the artifact came from. Default: the demo's."),
    ] = None,
    data: Annotated[str | None, DATA] = None,
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

    On a device: edaformer-validate model.plan --reference street.ref
    """
    from edaformer.engines.validate.validation import Gates

    gates = Gates(max_miou_drop=max_miou_drop, min_agreement=min_agreement)
    _check_outputs([report, junit, save_reference], [artifact, checkpoint, reference])
    asked = {
        "--checkpoint": checkpoint, "--protocol": protocol, "--scales": scales != "1",
        "--flip": flip, "--fit": fit, "--frames": frames, "--cache": cache, "--no-cache": no_cache,
        "--bisect": find,
        "--save-reference": save_reference, "--without-images": without_images,
    }  # fmt: skip
    described = {"--isr": isr, "--size": size, "--align": align}
    if without_images and save_reference is reference is None:
        raise InputError("--without-images is for --save-reference; leave it out")
    if reference is not None:
        _refuse({**asked, **described}, "the reference says it, or stands in for it; leave it out")
        result = _by_reference(artifact, reference, data, limit, gates, provider, workers)
    elif artifact is None:
        judging = {"--report": report, "--junit": junit, "--bisect": find, "--json": as_json}
        _refuse(judging, "nothing is judged without an artifact; name one, or leave it out")
        _save_alone(
            save_reference, checkpoint, data or _DATA, limit, isr=isr, size=size, align=align,
            way=(protocol, scales, flip), fit=fit, cache=_cache(cache, unused=no_cache),
            workers=workers, with_images=not without_images, frames=frames,
        )  # fmt: skip
        return
    else:
        _refuse(described, "the artifact says it; leave it out")
        result = _by_pytorch(
            artifact, checkpoint, data or _DATA, limit, gates, way=(protocol, scales, flip),
            fit=fit, provider=provider, cache=_cache(cache, unused=no_cache), workers=workers,
            save=save_reference, with_images=not without_images, find=find, frames=frames,
        )  # fmt: skip
    _write(result, report, junit)
    if as_json:
        print_json(result.to_json())
    else:
        print_validation(result, per_class=per_class)
    if save_reference is not None:
        print_saved(save_reference)
    for failure in result.failures:
        say(f"gate failed: {failure}")
    if result.failures:
        raise typer.Exit(EXIT_GATE)


def _by_reference(
    artifact: Path | None,
    reference: Path,
    data: str | None,
    limit: int | None,
    gates: Gates,
    provider: str,
    workers: int,
) -> Validation:
    """With the base install and the artifact's runtime alone."""
    from edaformer.data import open_dataset
    from edaformer.engines.validate.saved import SavedAnswers
    from edaformer.engines.validate.validate import compare

    if artifact is None:
        raise InputError(f"name the artifact that is compared with {reference}: a .plan or .onnx")
    with SavedAnswers(reference, workers=workers) as answers, image_progress() as on_image:
        answers.head(limit)
        for note in answers.setting.data.notes:
            say(f"note: {note}")
        if data is not None:
            if answers.has_images:
                raise InputError(f"{reference} holds its images; leave --data out")
            answers.look_in(open_dataset(data, answers.setting.size or (0, 0)))
        return compare(artifact, answers, gates=gates, provider=provider, on_image=on_image)


def _by_pytorch(
    artifact: Path,
    checkpoint: Path | None,
    data: str,
    limit: int | None,
    gates: Gates,
    *,
    way: tuple[str | None, str, bool],
    fit: Literal["resize", "pad", "slide"] | None,
    provider: str,
    cache: ReferenceCache | None,
    workers: int,
    save: Path | None,
    with_images: bool,
    find: bool,
    frames: bool,
) -> Validation:
    require("torch", "export")
    from edaformer.engines.artifact.kind import artifact_manifest
    from edaformer.engines.validate.bisect import bisect, probed
    from edaformer.engines.validate.validate import validate as validate_artifact
    from edaformer.families.table import load_checkpoint

    if find:
        probed(artifact)  # so that what is missing is said before an hour's work
    dataset = _dataset(data, artifact_manifest(artifact).size, limit)
    protocol = _protocol(dataset, way)
    loaded = load_checkpoint(or_demo(checkpoint))
    with image_progress() as on_image:
        result = validate_artifact(
            artifact, loaded, dataset, gates=gates, provider=provider, protocol=protocol, fit=fit,
            frames=frames, cache=cache, workers=workers, save=save, with_images=with_images,
            on_image=on_image,
        )  # fmt: skip
    if find:
        worst = result.worst[0]
        departure = bisect(
            artifact, loaded, worst.image, name=worst.name, protocol=protocol, fit=fit
        )
        result = replace(result, departure=departure)
    return result


def _save_alone(
    path: Path | None,
    checkpoint: Path | None,
    data: str,
    limit: int | None,
    *,
    isr: str | None,
    size: str | None,
    align: str | None,
    way: tuple[str | None, str, bool],
    fit: Literal["resize", "pad", "slide"] | None,
    cache: ReferenceCache | None,
    workers: int,
    with_images: bool,
    frames: bool,
) -> None:
    """A reference for an artifact that is not here."""
    if path is None:
        raise InputError("name an artifact to validate, or --save-reference FILE to write one for")
    require("torch", "export")
    from edaformer.engines.validate.procedure import make_procedure
    from edaformer.engines.validate.pytorch import PyTorchAnswers
    from edaformer.engines.validate.saved import Saving
    from edaformer.families.table import load_checkpoint
    from edaformer.isr import ISR
    from edaformer.preprocess import ALIGN, DEFAULT_SIZE, aligned, parse_align, parse_size

    loaded = load_checkpoint(or_demo(checkpoint))
    fixed = None if size == "dynamic" else (
        parse_size(size) if size else loaded.input_size or DEFAULT_SIZE
    )  # fmt: skip
    if fixed is None and align is not None:
        raise InputError(f"a dynamic size is padded to multiples of {ALIGN}; leave --align out")
    padding = ALIGN if align is None else parse_align(align)
    dataset = _dataset(data, fixed or aligned(loaded.input_size or DEFAULT_SIZE, ALIGN), limit)
    setting = ISR.parse(isr or "base", loaded.places)
    if fixed is not None:
        setting.check_fits(*aligned(fixed, padding))
    source = PyTorchAnswers(
        loaded, dataset, setting, make_procedure(_protocol(dataset, way), fixed, fit),
        align=padding, frames=frames, cache=cache, workers=workers,
    )  # fmt: skip
    with image_progress() as on_image:
        saving = Saving(source, path, with_images=with_images)
        for done, _ in enumerate(saving.answered(), start=1):
            on_image(done, len(saving))
    print_saved(path)


def _dataset(data: str, size: tuple[int, int], limit: int | None) -> Dataset:
    from edaformer.data import open_dataset

    dataset = open_dataset(data, size).head(limit)
    for note in dataset.notes:
        say(f"note: {note}")
    return dataset


def _protocol(dataset: Dataset, way: tuple[str | None, str, bool]) -> Protocol:
    from edaformer.evaluation.protocol import get_protocol

    name, scales, flip = way
    return get_protocol(name or dataset.protocol, scales=_ratios(scales), flip=flip)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for option, given in options.items():
        if given:
            raise InputError(f"{option}: {why}")


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
