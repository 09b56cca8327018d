"""``edaformer-validate``: an artifact against PyTorch, on images with ground truth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import (
    DEBUG,
    JSON,
    guarded,
    or_demo,
    print_json,
    print_table,
    run,
    say,
)
from edaformer.errors import EXIT_GATE, require

if TYPE_CHECKING:
    from edaformer.engines.validate import Validation


@guarded
def validate(
    artifact: Annotated[Path, typer.Argument(help="An .onnx, or a .plan where a GPU is.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint the artifact came from. Default: the demo's."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="scenes or scenes:N (drawn), camvid:DIR or folder:DIR.")
    ] = "scenes",
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    max_miou_drop: Annotated[
        float, typer.Option(help="Points of mIoU the artifact may lose at the same ISR.")
    ] = 0.1,
    min_agreement: Annotated[
        float, typer.Option(help="Least fraction of equal labels at the same ISR.")
    ] = 0.999,
    provider: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where ONNX Runtime computes.")
    ] = "auto",
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
    from edaformer.checkpoint import load_checkpoint
    from edaformer.data import open_dataset
    from edaformer.engines.segmenters import artifact_manifest
    from edaformer.engines.validate import Gates
    from edaformer.engines.validate import validate as validate_artifact

    gates = Gates(max_miou_drop=max_miou_drop, min_agreement=min_agreement)
    dataset = open_dataset(data, artifact_manifest(artifact).size).head(limit)
    loaded = load_checkpoint(or_demo(checkpoint))
    with _progress() as on_image:
        result = validate_artifact(
            artifact, loaded, dataset, gates=gates, provider=provider, on_image=on_image
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print_result(result, per_class=per_class)
    for failure in result.failures:
        say(f"gate failed: {failure}")
    if result.failures:
        raise typer.Exit(EXIT_GATE)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar where stderr is a terminal, a line every 25 images elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: say(f"... {done} of {total}") if done % 25 == 0 else None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("images", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_result(result: Validation, *, per_class: bool) -> None:
    rows = (result.reference_base, result.reference, result.candidate)
    agreements = (None, result.agreement_isr.overall, result.agreement.overall)
    padding = f"padded to multiples of {result.align}" if result.align else "as it is"
    typer.echo(
        f"{result.data}, {result.images} images, {result.size[0]}x{result.size[1]} {padding}"
    )
    typer.echo("")
    print_table(
        ("", "ISR", "mIoU", "mAcc", "aAcc", "agrees with the row above"),
        [
            (row.description, row.isr, *(f"{value:.3f}" for value in figures),
             f"{agreement:.4%}" if agreement is not None else "")
            for row, agreement in zip(rows, agreements, strict=True)
            for figures in [(row.score.miou, row.score.macc, row.score.aacc)]
        ],
    )  # fmt: skip
    typer.echo("")
    if per_class:
        columns = ("class", "base PyTorch", "this ISR", "artifact", "ISR costs", "precision costs")
        classes = zip(result.classes, *(row.score.iou for row in rows), strict=True)
        print_table(columns, [
            (name, *(f"{value:.2f}" for value in (base, same, own)),
             f"{base - same:+.2f}", f"{same - own:+.2f}")
            for name, base, same, own in classes
        ])  # fmt: skip
        typer.echo("")
    typer.echo(f"ISR changes mIoU by {result.delta_isr:+.3f} points, precision by "
               f"{result.delta_precision:+.3f}; worst image agrees on "
               f"{result.agreement.worst:.4%}")  # fmt: skip
    typer.echo("passed" if not result.failures else "FAILED")


def main() -> None:
    """The console script ``edaformer-validate``."""
    run(validate)
