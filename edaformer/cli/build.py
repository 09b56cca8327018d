"""``edaformer-build``: an exported ONNX file to a TensorRT plan."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from edaformer.cli.common import (
    DEBUG,
    JSON,
    VERSION,
    echo,
    echo_line,
    guarded,
    output_path,
    print_json,
    print_pairs,
    print_table,
    run,
    say,
    say_next,
)
from edaformer.cli.handover import check_alone, check_runtime, hand_over_command
from edaformer.cli.progress import steps
from edaformer.engines.artifact.proof import facts_of
from edaformer.engines.handover.trtexec import trtexec_line
from edaformer.errors import EXIT_GATE, InputError
from edaformer.machine.gpu import FP8_FROM

if TYPE_CHECKING:
    from edaformer.engines.build.beside import Beside
    from edaformer.engines.build.build import BuildResult
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.engines.build.rebuild import Difference, Repetition
    from edaformer.engines.build.weigh import Weighed
    from edaformer.machine.backend import Backend
    from edaformer.manifest import EngineRecord

_WARNINGS_SHOWN = 5
_SAME: dict[bool | None, str] = {True: "the same", False: "DIFFERENT"}


@guarded
def build(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="An .onnx that edaformer-export wrote. With --from-manifest: that plan's own. "
            "With --target: a .plan, too."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The plan, or with --target the folder, to write. Default: beside it.",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="auto, tensorrt or tensorrt-rtx (which needs no GPU to build). Default: auto. "
            "With --target, to pack the ONNX itself: onnxruntime (triton), nvinfer (deepstream)."
        ),
    ] = None,
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
    min_size: Annotated[
        str | None, typer.Option(help="Least HxW of a dynamic size, a multiple of 32.")
    ] = None,
    opt_size: Annotated[str | None, typer.Option(help="The size to be fastest at.")] = None,
    max_size: Annotated[str | None, typer.Option(help="Greatest HxW of a dynamic size.")] = None,
    allow_unfused: Annotated[
        bool,
        typer.Option(
            "--allow-unfused",
            help="Keep an engine whose attention or precision did not come out as asked.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Weigh int8 or fp8 against this FP16 plan of the same network. Default: against "
            "one built beside it."
        ),
    ] = None,
    even_if_heavier: Annotated[
        bool,
        typer.Option(
            "--even-if-heavier",
            help="Keep an engine in int8 or fp8 with more kernels and more traffic than FP16's.",
        ),
    ] = False,
    repeat: Annotated[
        int | None, typer.Option(help="Build so many times and compare layers and precision.")
    ] = None,
    from_manifest: Annotated[
        Path | None,
        typer.Option(help="Rebuild as this PLAN.json records and list every difference."),
    ] = None,
    target: Annotated[
        Literal["triton", "deepstream"] | None,
        typer.Option(help="Write a folder that this server takes as it is (docs/serving.md)."),
    ] = None,
    runtime: Annotated[
        Literal["edaformer"] | None,
        typer.Option(
            help="With --target triton: pack MODEL as it is, answered by this package in Triton's "
            "Python backend: frames of any size, JPEG and PNG, labels at the frame's size."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file of the default name.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Build a TensorRT plan whose manifest travels inside it.

    Example: edaformer-build model.onnx -o model.plan
    """
    from edaformer.engines.artifact.onnx_file import read_onnx
    from edaformer.engines.build.build import parse_compute_capabilities
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.preprocess import parse_size

    sizes = _three("size", min_size, opt_size, max_size)
    options = BuildOptions(
        backend=backend or "auto",
        compute_capabilities=(
            parse_compute_capabilities(compute_capability) if compute_capability is not None else ()
        ),
        workspace=workspace,
        timing_cache=timing_cache,
        against=against,
        even_if_heavier=even_if_heavier,
        batches=_three("batch", min_batch, opt_batch, max_batch),
        sizes=None if sizes is None else (
            parse_size(sizes[0]), parse_size(sizes[1]), parse_size(sizes[2])
        ),
    )  # fmt: skip
    check_runtime(runtime, target)
    if target is not None:
        check_alone(repeat=repeat is not None, from_manifest=from_manifest is not None, force=force)
        options = replace(options, allow_unfused=allow_unfused)
        hand_over_command(
            model, target, output, options,
            lambda onnx, plan: _build(onnx, plan, options, None)[0],
            own_runtime=runtime is not None,
            on_built=(lambda _: None) if as_json else print_result, as_json=as_json,
        )  # fmt: skip
        return
    recorded: EngineRecord | None = None
    if from_manifest is not None:
        if options != BuildOptions(backend=backend or "auto") or backend is not None:
            raise InputError(
                "--from-manifest takes backend, targets, workspace and bounds from the record; "
                "leave the other options out"
            )
        model, options, recorded = _recorded(from_manifest, model)
    if model is None:
        raise InputError("expected a MODEL.onnx; make one with edaformer-export")
    options = replace(options, allow_unfused=allow_unfused or options.allow_unfused)
    file = read_onnx(model)  # before anything is said about the output
    if file.changed is not None:
        say(f"note: {model} is {file.state}")
    default = model.with_suffix(".plan" if recorded is None else ".rebuilt.plan")
    path = output_path(output, default, force=force, not_named={".onnx"})
    result, repetition = _build(model, path, options, repeat)
    differences = _differences(recorded, result)
    if as_json:
        extra = _beside_json(result)
        if repetition is not None:
            extra["repeat"] = repetition.to_json()
        if differences is not None:
            extra["differences"] = [vars(difference) for difference in differences]
        print_json(result.to_json() | extra)
    else:
        print_result(result)
        _print_repetition(repetition)
        _print_differences(differences)
    if repetition is not None and False in {repetition.same_precision, repetition.same_labels}:
        say("gate failed: the builds do not agree in precision or labels")
        raise typer.Exit(EXIT_GATE)
    say_next("edaformer-info", path)
    say_next("edaformer-check", path, "--run", when="with a GPU")
    say(f"or: {trtexec_line(path, result.manifest)}")


T = TypeVar("T", int, str)


def _three(what: str, least: T | None, best: T | None, most: T | None) -> tuple[T, T, T] | None:
    if least is None and best is None and most is None:
        return None
    if least is None or best is None or most is None:
        example = "1, 1 and 4" if what == "batch" else "256x256, 512x512 and 1024x2048"
        raise InputError(
            f"expected --min-{what}, --opt-{what} and --max-{what} together, such as {example}; "
            "add the rest"
        )
    return least, best, most


def _recorded(sidecar: Path, model: Path | None) -> tuple[Path, BuildOptions, EngineRecord]:
    from edaformer.engines.build.rebuild import recorded_build

    return recorded_build(sidecar, model)


def _build(
    model: Path, path: Path, options: BuildOptions, repeat: int | None
) -> tuple[BuildResult, Repetition | None]:
    from edaformer.engines.build.build import build_engine
    from edaformer.engines.build.rebuild import repeat_build

    with _progress() as (on_step, on_progress):

        def on_start(chosen: Backend) -> None:
            on_step(f"building with {chosen.flavour} {chosen.version}")

        if repeat is None:
            told = {"on_start": on_start, "on_progress": on_progress}
            result = build_engine(model, path, options, **told)  # type: ignore[arg-type]
            if options.timing_cache is not None:
                say(f"wrote {options.timing_cache}")
            return result, None
        return repeat_build(
            model, path, options, repeat, on_start=on_start, on_progress=on_progress
        )


def _differences(recorded: EngineRecord | None, result: BuildResult) -> list[Difference] | None:
    if recorded is None:
        return None
    from edaformer.engines.build.rebuild import compare_builds

    return compare_builds(recorded, result.record)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int], None]]]:
    """For steps and the builder's phases: a bar where stderr is a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        with steps("loading TensorRT") as on_step:
            yield on_step, lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("building", total=None)
        yield (
            lambda step: say(f"... {step}"),
            lambda phase, done, total: progress.update(
                task, description=phase[:40], completed=done, total=total
            ),
        )


def print_result(result: BuildResult) -> None:
    """The plan, how it was built and what proves it, on stdout."""
    manifest, record = result.manifest, result.record
    shown = record.warnings[:_WARNINGS_SHOWN]
    targets = ", ".join(record.compute_capabilities) or None
    print_pairs(
        str(result.path),
        [
            ("backend", f"{record.flavour} {record.version}"),
            ("model", f"{manifest.title}, {manifest.num_classes} classes"),
            ("ISR", manifest.isr),
            ("precision", f"{manifest.precision}, strongly typed"),
            (
                "runs on",
                f"compute capability {FP8_FROM} and later, as all FP8"
                if manifest.precision == "fp8"
                else None,
            ),
            ("targets", targets or "the builder's default"),
            ("size", f"{record.plan_bytes / 1e6:.1f} MB"),
            *facts_of(record.proof),
            ("SHA-256", result.sha256),
            ("manifest", f"inside the plan, and whole in {result.path.name}.json"),
            ("time", f"{result.seconds:.1f} s"),
            ("warnings", len(record.warnings) or None),
            *((f"  {number}", text) for number, text in enumerate(shown, start=1)),
        ],
    )
    if manifest.attention == "unfused":
        _print_beside(result)
    if result.weighed is not None:
        _print_weighed(result.weighed, manifest.precision)


def _beside(result: BuildResult) -> Beside | None:
    from edaformer.engines.build.beside import beside_fused

    return beside_fused(result.path)


def _beside_json(result: BuildResult) -> dict[str, Any]:
    """What unfused attention costs; null where the folder has no plan of the fused form."""
    if result.manifest.attention == "fused":
        return {}
    found = _beside(result)
    return {"beside_fused": None if found is None else found.to_json()}


def _print_beside(result: BuildResult) -> None:
    found = _beside(result)
    echo()
    if found is None:
        echo_line(
            "what unfused attention costs is not known: the folder has no plan of the fused form, "
            "built alike; export it with --attention fused, build it into the folder, and build "
            "this again; or compare:"
        )
        echo(f"  edaformer-info FUSED.plan {shlex.quote(str(result.path))}")
        return
    print_table(
        (f"beside {found.plan.name}", "fused", "unfused", "ratio"),
        [
            _cost("attention blocks fused", found.fused_blocks),
            _cost("kernels", found.kernels),
            _cost("scratch, MB", found.scratch_bytes, 1e6),
            _cost("traffic, MB", found.traffic_bytes, 1e6),
        ],
    )


def _print_weighed(weighed: Weighed, precision: str) -> None:
    echo()
    print_table(
        ("beside its twin", "fp16", precision, "ratio"),
        [
            _cost("attention blocks fused", weighed.fused_blocks),
            _cost("kernels", weighed.kernels),
            _cost("dequantise kernels", weighed.dequantise_kernels),
            _cost("scratch, MB", weighed.scratch_bytes, 1e6),
            _cost("traffic, MB", weighed.traffic_bytes, 1e6),
        ],
    )
    echo_line(f"twin: {weighed.twin}")
    echo_line(weighed.sentence)


def _cost(
    name: str, pair: tuple[int | None, int | None], unit: float | None = None
) -> tuple[str, str, str, str]:
    first, second = pair
    shown = ["-" if x is None else f"{x / unit:.1f}" if unit else str(x) for x in pair]
    return name, shown[0], shown[1], f"{second / first:.2f}" if first and second else "-"


def _print_repetition(repetition: Repetition | None) -> None:
    if repetition is None:
        return
    labels = {None: "not run: no GPU here, or not at this size", **_SAME}
    echo()
    print_pairs(
        f"{repetition.builds} builds",
        [
            ("plan bytes", "the same" if repetition.same_bytes else "different"),
            ("layers", _SAME.get(repetition.same_layers, "not shown by this TensorRT")),
            ("precision", _SAME.get(repetition.same_precision, "not shown by this TensorRT")),
            ("labels", labels[repetition.same_labels]),
            *((f"  {n}", text) for n, text in enumerate(repetition.differences, start=1)),
        ],
    )


def _print_differences(differences: list[Difference] | None) -> None:
    if differences is None:
        return
    echo()
    if not differences:
        echo("nothing differs from the record")
        return
    print_table(("differs", "recorded", "now"), [(d.what, d.recorded, d.now) for d in differences])


def main() -> None:
    """The console script ``edaformer-build``."""
    run(build)
