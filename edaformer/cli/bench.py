"""``edaformer-bench``: what a frame costs, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edaformer.cli.common import (
    DEBUG,
    JSON,
    VERSION,
    echo,
    echo_line,
    guarded,
    print_json,
    print_pairs,
    print_table,
    run,
    say,
)
from edaformer.cli.options.checkpoints import HUB, METAVAR, find

if TYPE_CHECKING:
    from edaformer.engines.bench.record import Record, Result
    from edaformer.engines.bench.recorded import Recorded

_LAYERS_SHOWN = 15


@guarded
def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="One or more .onnx or .plan.")],
    data: Annotated[
        str,
        typer.Option(
            help="Images: scenes or scenes:N (drawn), camvid:DIR, folder:DIR or reference:FILE."
        ),
    ] = "scenes",
    images: Annotated[int, typer.Option(help="How many of them rotate.")] = 8,
    duration: Annotated[float, typer.Option(help="Seconds of timed frames for each.")] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds in which they take turns.")] = 10,
    rate: Annotated[
        float | None, typer.Option(help="Also simulate a camera of so many frames a second.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Out of torch,torch-compile,onnxruntime.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar=METAVAR, help=f"What PyTorch runs, or {HUB}. Default: the demo's."),
    ] = None,
    provider: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where ONNX Runtime computes.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of each. Default: all cores.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also time the layers of each artifact.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the JSON record here.")
    ] = None,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Time whole frames, from image to label map, of artifacts and of PyTorch, taking turns.

    Example: edaformer-bench model.onnx --against torch -o record.json
    """
    from edaformer.engines.bench.benchmark import benchmark
    from edaformer.engines.bench.contenders import BenchOptions
    from edaformer.files import check_writable, write_whole

    options = BenchOptions(
        data=data, images=images, duration=duration, rounds=rounds, rate=rate,
        against=_against(against), checkpoint=checkpoint and find(checkpoint), provider=provider,
        threads=threads, profile=profile,
    )  # fmt: skip
    if output is not None:
        check_writable(output, *artifacts)
    record = benchmark(artifacts, options, on_step=lambda step: say(f"... {step}"))
    if output is not None:
        write_whole(output, json.dumps(record.to_json(), indent=1).encode())
        say(f"wrote {output}")
    if as_json:
        print_json(record.to_json())
    else:
        print_record(record)


def _against(text: str | None) -> tuple[Any, ...]:
    """The names; BenchOptions refuses unknown ones."""
    return tuple(part.strip() for part in text.split(",")) if text is not None else ()


def print_record(record: Record) -> None:
    """All of it, on stdout."""
    machine, results = record.machine, record.results
    gpu = machine["gpu"]
    print_pairs(
        "whole frames, uint8 image to uint8 labels, both in host memory",
        [
            ("machine", f"{machine['cpu']}, {machine['cores']} cores"),
            ("GPU", f"{gpu['name']}, driver {machine['driver']}" if gpu else None),
            ("threads", record.settings["threads"]),
            ("images", f"{record.settings['images']} of {record.settings['data']}"),
            ("rounds", f"{record.settings['rounds']}, taking turns"),
            ("power mode", record.after.power_mode),
            ("energy of", record.settings["energy_source"]),
            *((result.subject.name, result.subject.description) for result in results),
        ],
    )
    _print_seen(
        ("", "frames", "p50 ms", "p90 ms", "p99 ms", "images/s", "pipelined", "CPU ms", "J/image"),
        [_latency_row(result) for result in results],
    )
    _print_seen(
        ("", "preprocess", "copy in", "network", "resize+argmax", "copy out", "wall ms"),
        [(result.subject.name, *(_ms(part) for part in vars(result.split).values()))
         for result in results],
    )  # fmt: skip
    _print_seen(
        ("started alone", "import s", "load s", "first frame s", "host MB", "device MB"),
        [
            (_start_name(result, number), _seconds(start.import_seconds),
             _seconds(start.load_seconds), _seconds(start.first_frame_seconds),
             _mb(start.host_bytes), _mb(start.device_bytes))
            for result in results
            for number, start in enumerate(result.starts)
        ],
    )  # fmt: skip
    _print_precisions(results)
    _print_camera(record)
    _print_layers(record)
    _print_comparisons(record)


def _print_seen(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table without the columns that nothing was measured for, as copies and joules on a CPU."""
    seen = [at for at in range(len(heads)) if at == 0 or any(row[at] != "-" for row in rows)]
    echo()
    print_table([heads[at] for at in seen], [[row[at] for at in seen] for row in rows])


def _latency_row(result: Result) -> tuple[str, ...]:
    latency, joules = result.latency, result.joules_per_image
    pipelined = result.images_per_second_pipelined
    return (
        result.subject.name,
        str(latency.frames),
        *(_ms(value) for value in (latency.p50, latency.p90, latency.p99)),
        f"{result.images_per_second:.2f}",
        f"{pipelined:.2f}" if pipelined is not None else "-",
        _ms(result.cpu_seconds_per_image),
        f"{joules:.3f}" if joules is not None else "-",
    )


def _print_precisions(results: Sequence[Result]) -> None:
    """Eight bits beside whatever else was timed; nothing where nothing is in eight bits."""
    told = [(one, one.subject.recorded) for one in results]
    if not any(recorded is not None and recorded.quantised for _, recorded in told):
        return
    _print_seen(
        ("in eight bits", "precision", "p50 ms", "rounds, ms", "kernels", "fused", "dequantise",
         "traffic MB", "labels agree", "mIoU"),
        [_precision_row(result, recorded) for result, recorded in told],
    )  # fmt: skip
    echo_line(
        "rounds: the least and the largest median of one; labels and mIoU: with PyTorch's labels "
        "as the truth, when it was exported; the rest: by the builder's layer table"
    )


def _precision_row(result: Result, recorded: Recorded | None) -> tuple[str, ...]:
    own = (result.subject.name, result.subject.precision, _ms(result.latency.p50),
           f"{_ms(min(result.rounds))} to {_ms(max(result.rounds))}")  # fmt: skip
    if recorded is None:
        return (*own, *("-",) * 6)
    parts, traffic = "+".join(recorded.quantised), recorded.traffic_bytes
    fused, miou = recorded.fused_blocks, recorded.miou
    return (
        own[0],
        f"{own[1]} {parts}".strip(),
        *own[2:],
        _count(recorded.kernels),
        "-" if fused is None else f"{fused} of {recorded.attention_blocks}",
        _count(recorded.dequantise_kernels),
        "-" if traffic is None else f"{traffic / 1e6:.1f}",
        "-" if recorded.agreement is None else f"{recorded.agreement:.2%}",
        "-" if miou is None else f"{miou:.2f}",
    )


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _start_name(result: Result, number: int) -> str:
    how = ("no runtime cache", "filling the cache", "cache warm")
    name = result.subject.name
    return f"{name}, {how[number]}" if len(result.starts) > 1 else name


def _print_camera(record: Record) -> None:
    watched = [(r.subject.name, r.camera) for r in record.results if r.camera is not None]
    if not watched:
        return
    echo()
    print_table(
        (f"camera at {watched[0][1].rate:g}/s", "arrived", "processed", "dropped", "late",
         "missed", "worst gap ms"),
        [
            (name, *map(str, (camera.arrived, camera.processed, camera.dropped, camera.late,
                              camera.missed)), _ms(camera.worst_gap))
            for name, camera in watched
        ],
    )  # fmt: skip


def _print_layers(record: Record) -> None:
    for result in record.results:
        if result.layers is None:
            continue
        echo()
        total = sum(layer.seconds for layer in result.layers)
        print_table(
            (f"layers of {result.subject.name}", "operator", "ms", "share"),
            [(layer.name[:40], layer.kind, _ms(layer.seconds), f"{layer.seconds / total:.1%}")
             for layer in result.layers[:_LAYERS_SHOWN]],
        )  # fmt: skip


def _print_comparisons(record: Record) -> None:
    if record.comparisons:
        echo()
    for made in record.comparisons:
        labels = "labels not comparable"
        if made.agreement is not None:
            labels = f"labels agree on {made.agreement:.4%}"
        if made.worst_margin:
            labels += f", largest top-2 margin where they differ {made.worst_margin:.2g}"
        speed = f"{made.ratio:.2f} times as fast as"
        low, high = min(made.ratios), max(made.ratios)
        echo_line(f"{made.first} is {speed} {made.name} (median of {len(made.ratios)} rounds, "
                  f"{low:.2f} to {high:.2f}); {labels}")  # fmt: skip
    for mark in record.marks:
        echo_line(f"MARKED: {mark}")


def _ms(seconds: float | None) -> str:
    return f"{seconds * 1e3:.2f}" if seconds is not None else "-"


def _seconds(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else "-"


def _mb(count: int | None) -> str:
    return f"{count / 1e6:.0f}" if count is not None else "-"


def main() -> None:
    """The console script ``edaformer-bench``."""
    run(bench)
