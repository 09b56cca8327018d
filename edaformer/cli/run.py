"""``edaformer-run``: an artifact on pictures, video and cameras; or a look inside a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from edaformer.cli.common import (
    DEBUG,
    JSON,
    VERSION,
    echo,
    guarded,
    print_json,
    print_pairs,
    print_table,
    say,
)
from edaformer.cli.common import run as run_command
from edaformer.cli.options.checkpoints import HUB, find
from edaformer.cli.options.threads import THREADS
from edaformer.cli.progress import image_progress
from edaformer.errors import EXIT_GATE, InputError
from edaformer.machine.threads import share_cores

if TYPE_CHECKING:
    from edaformer.engines.inside.inside import InsideResult
    from edaformer.engines.run.run import RunResult
    from edaformer.engines.run.watch import Watch
    from edaformer.media.frames import Source


@guarded
def run(
    artifact: Annotated[
        str,
        typer.Argument(
            help="An .onnx, a .plan, or a served model (triton://HOST:PORT/MODEL, "
            f"triton+grpc://...); with --attention a checkpoint, or demo, or {HUB}.",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, videos, folders, patterns, a camera's number, a stream's URL, a "
            "GStreamer pipeline, scenes:N (drawn) or reference:FILE."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the pictures. Default: edaformer-run."),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            help="Out of overlay,labels,ids,side-by-side; labels are PNGs with a palette, ids are "
            "grey ones. Default: overlay, unless --video, --show or --stats is there without -o."
        ),
    ] = None,
    overlay: Annotated[
        float | None,
        typer.Option(help="Weight of the class colours in overlays, 0 to 1. Default: 0.5."),
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Write the overlays to this .mp4.")] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of --video. Default: each frame at its own time, as in the "
            "input; 25 for pictures."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show them in a window; q leaves.")] = False,
    stats: Annotated[
        Path | None, typer.Option(help="Write each frame's class areas to this .csv or .json.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many frames.")] = None,
    reconnect: Annotated[
        int | None,
        typer.Option(help="Try so often, one time after the other, to open a camera or stream "
                     "again that has gone. Default: its end is the run's, exit code 1."),
    ] = None,
    provider: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where ONNX Runtime computes.")
    ] = "auto",
    attention: Annotated[
        str | None,
        typer.Option(
            help="Look inside a stage (1 to 4, c4, c3 or c2) of a checkpoint instead: attention "
            "and features at base ISR and at --isr."
        ),
    ] = None,
    isr: Annotated[str | None, typer.Option(help="With --attention: the other ISR.")] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(help="With --attention: a query's X,Y in pixels; may be repeated. "
                     "Default: the middle."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="With --attention: run at this HxW. Default: the checkpoint's own where "
                     "recorded, else 512x512."),
    ] = None,
    threads: Annotated[int | None, THREADS] = None,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:  # fmt: skip
    """Run an artifact on pictures, video and cameras, and draw what it sees.

    Pictures go to FOLDER/overlay/NAME.png and so on, one folder for each kind.

    Exit code 0: every frame was read; of a camera or stream the newest, until somebody ended it. 1:
    some were not, or it ended by itself; said on stderr. 2: none was.

    Example: edaformer-run model.onnx street.mp4 --video seen.mp4
    """
    share_cores(threads)
    drawing = {
        "--save": save, "--overlay": overlay, "--video": video, "--fps": fps, "--stats": stats,
        "--show": show or None, "--provider": None if provider == "auto" else provider,
        "--reconnect": reconnect,
    }  # fmt: skip
    inside = {"--isr": isr, "--point": point or None, "--size": size}
    if attention is not None:
        _refuse(drawing, "has no effect with --attention")
        _look_inside(artifact, inputs, attention, output, limit, inside, as_json=as_json)
        return
    _refuse(inside, "is for --attention; an artifact's ISR and size are baked in")
    from edaformer.engines.artifact.kind import artifact_manifest
    from edaformer.engines.run.run import RunOptions, open_sources, refuse_checkpoint, run_sources

    options = RunOptions(
        save=_kinds(save), folder=output, weight=overlay, video=video, fps=fps, show=show,
        stats=stats, limit=limit, provider=provider, reconnect=reconnect,
    )  # fmt: skip
    path = Path(artifact)
    refuse_checkpoint(path)
    sources = open_sources(inputs, artifact_manifest(path).size, options, say)
    with _watching(sources) as watch:
        result = run_sources(path, sources, options, watch)
    _finish(result, print_run, as_json=as_json)


def _look_inside(
    checkpoint: str, inputs: list[str], stage: str, output: Path | None, limit: int | None,
    given: dict[str, Any], *, as_json: bool,
) -> None:  # fmt: skip
    from edaformer.engines.inside.inside import InsideOptions, look_inside
    from edaformer.families.identity import hub_id
    from edaformer.preprocess import parse_size

    if given["--isr"] is None:
        raise InputError("--attention compares base ISR with another; name it: --isr 16,8,4,2")
    options = InsideOptions(
        stage=stage, isr=given["--isr"], points=tuple(map(_point, given["--point"] or ())),
        size=parse_size(given["--size"]) if given["--size"] is not None else None,
        folder=output, limit=limit,
    )  # fmt: skip
    source = checkpoint if hub_id(checkpoint) is None else find(checkpoint)
    with _watching([]) as watch:
        result = look_inside(source, inputs, options, watch)
    _finish(result, _print_inside, as_json=as_json)


R = TypeVar("R", "RunResult", "InsideResult")


def _finish(result: R, show: Callable[[R], None], *, as_json: bool) -> None:
    """Print the result; what was skipped decides the exit code."""
    if as_json:
        print_json(result.to_json())
    else:
        show(result)
    if result.skipped:
        raise typer.Exit(EXIT_GATE)


@contextmanager
def _watching(sources: list[Source]) -> Iterator[Watch]:
    """Progress, skipped inputs on stderr, and Ctrl-C as the end of what would never end itself."""
    from edaformer.engines.run.watch import Watch

    live = any(source.live for source in sources)
    with image_progress() as on_frame, _stopping(live=live) as stop:
        yield Watch(
            on_frame=on_frame,
            on_skip=lambda skipped: say(f"skipped {skipped.name}: {skipped.reason}"),
            on_note=say,
            stop=stop,
        )


@contextmanager
def _stopping(*, live: bool) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, once; the second time interrupts as ever."""
    pressed: list[int] = []
    if not live:
        yield lambda: False
        return

    def press(number: int, frame: object) -> None:
        del frame
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name} {why}; leave it out")


def _kinds(text: str | None) -> tuple[Any, ...] | None:
    """The kinds; RunOptions refuses unknown ones."""
    return tuple(part.strip() for part in text.split(",")) if text is not None else None


def _point(text: str) -> tuple[int, int]:
    x, comma, y = text.partition(",")
    if not (comma and x.strip().isdecimal() and y.strip().isdecimal()):
        raise InputError(f"expected --point as X,Y in pixels, such as 240,180, got '{text}'")
    return int(x), int(y)


def print_run(result: RunResult) -> None:
    """What was seen, on stdout."""
    print_pairs(
        str(result.artifact),
        [
            ("run by", result.description),
            ("frames", f"{result.frames}, {result.rate:.2f} a second with reading and drawing"),
            ("dropped", _dropped(result.dropped)),
            ("skipped", len(result.skipped) or None),
            *(("pictures", folder) for folder in result.pictures),
            ("video", result.video),
            ("areas", result.stats),
        ],
    )
    echo()
    print_table(
        ("class", "share", "frames"),
        [(one.name, f"{one.share:.2%}", str(one.frames)) for one in result.classes],
    )


def _dropped(count: int) -> str | None:
    return f"{count} frames that came while others were labelled" if count else None


def _print_inside(result: InsideResult) -> None:
    print_pairs(
        str(result.checkpoint),
        [
            ("stage", result.stage),
            ("ISR", f"{result.base} and {result.isr}"),
            ("run at", f"{result.size[0]}x{result.size[1]}"),
            ("pictures", result.folder),
            ("skipped", len(result.skipped) or None),
        ],
    )
    echo()
    print_table(
        ("picture", "keys at base", "keys at ISR", "features' cosine"),
        [
            (one.name, _map(one.base_keys), _map(one.isr_keys), f"{one.cosine:.4f}")
            for one in result.pictures
        ],
    )


def _map(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def main() -> None:
    """The console script ``edaformer-run``."""
    run_command(run)
