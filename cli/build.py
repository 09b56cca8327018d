"""``edaformer-build``: an exported ONNX file to a TensorRT plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edaformer.cli.common import (
    DEBUG,
    JSON,
    guarded,
    output_path,
    print_json,
    print_pairs,
    run,
    say,
)
from edaformer.errors import InputError

if TYPE_CHECKING:
    from edaformer.engines.build import BuildResult

_WARNINGS_SHOWN = 5


@guarded
def build(
    model: Annotated[Path, typer.Argument(help="An .onnx that edaformer-export wrote.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The plan to write. Default: model.plan beside it."),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="auto, tensorrt or tensorrt-rtx (which needs no GPU to build).")
    ] = "auto",
    compute_capability: Annotated[
        str | None, typer.Option(help="Targets such as 8.6,8.9 (tensorrt-rtx).")
    ] = None,
    workspace: Annotated[
        float | None, typer.Option(help="Scratch memory the builder may plan with, in GiB.")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="Read if it exists, written afterwards (tensorrt).")
    ] = None,
    min_batch: Annotated[int | None, typer.Option(help="Least images of a dynamic batch.")] = None,
    opt_batch: Annotated[int | None, typer.Option(help="The batch to be fastest at.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="Most images of a dynamic batch.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file of the default name.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Build a TensorRT plan whose manifest travels inside it.

    Example: edaformer-build model.onnx -o model.plan
    """
    from edaformer.engines.build import BuildOptions, build_engine, parse_compute_capabilities
    from edaformer.engines.onnx_file import read_onnx_manifest

    read_onnx_manifest(model)  # before anything is said about the output
    options = BuildOptions(
        backend=backend,
        compute_capabilities=(
            parse_compute_capabilities(compute_capability) if compute_capability is not None else ()
        ),
        workspace=workspace,
        timing_cache=timing_cache,
        batches=_batches(min_batch, opt_batch, max_batch),
    )
    path = output_path(output, model.with_suffix(".plan"), force=force)
    with _progress() as on_progress:
        result = build_engine(
            model,
            path,
            options,
            on_start=lambda chosen: say(f"... building with {chosen.flavour} {chosen.version}"),
            on_progress=on_progress,
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print_result(result)
    say(f"next: edaformer-info {path}, or with a GPU: edaformer-validate {path}")


def _batches(least: int | None, best: int | None, most: int | None) -> tuple[int, int, int] | None:
    if least is None and best is None and most is None:
        return None
    if least is None or best is None or most is None:
        raise InputError("expected --min-batch, --opt-batch and --max-batch together; add the rest")
    return least, best, most


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for the builder's phases where stderr is a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("building", total=None)
        yield lambda phase, done, total: progress.update(
            task, description=phase[:40], completed=done, total=total
        )


def _print_result(result: BuildResult) -> None:
    manifest, record = result.manifest, result.manifest.engine
    assert record is not None
    shown = record.warnings[:_WARNINGS_SHOWN]
    targets = ", ".join(record.compute_capabilities) or None
    print_pairs(
        str(result.path),
        [
            ("backend", f"{record.flavour} {record.version}"),
            ("model", f"EDAFormer-{manifest.variant}, {manifest.num_classes} classes"),
            ("ISR", manifest.isr),
            ("precision", f"{manifest.precision}, strongly typed"),
            ("targets", targets or "the builder's default"),
            ("size", f"{record.plan_bytes / 1e6:.1f} MB"),
            ("SHA-256", result.sha256),
            ("manifest", f"inside the plan, and whole in {result.path.name}.json"),
            ("time", f"{result.seconds:.1f} s"),
            ("warnings", len(record.warnings) or None),
            *((f"  {number}", text) for number, text in enumerate(shown, start=1)),
        ],
    )


def main() -> None:
    """The console script ``edaformer-build``."""
    run(build)
