"""What the commands share: errors as one sentence, tables, JSON, messages on stderr."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

import typer

from edaformer.cli import layout
from edaformer.errors import EXIT_INPUT, EdaformerError, InputError, require
from edaformer.printable import encodable, in_one_line, printable
from edaformer.version import __version__

if TYPE_CHECKING:
    from edaformer.engines.spread.spread import Spread

P = ParamSpec("P")
R = TypeVar("R")

EXIT_PIPE = 141  # as the shell has it for SIGPIPE
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count it
DEBUG = typer.Option("--debug", help="Show tracebacks and the libraries' own messages.")
DATA = typer.Option(
    help="scenes or scenes:N (drawn), camvid:DIR, ade20k:DIR, cityscapes:DIR, cocostuff164k:DIR, "
    "folder:DIR or reference:FILE."
)
LABELS = typer.Option(
    help="How label files are stored: as-stored, minus-one (0 is void), plus-one, zero-void, "
    "binary (0 and the rest), over-17, over-85, over-255, or a file of lines 'value name' or "
    "'name:red,green,blue'. Default: the data set's way."
)
TRUST_LABELS = typer.Option(
    "--trust-labels", help="Take the truth as it is, whatever is found wrong with it; recorded."
)
JSON = typer.Option("--json", help="Print the result as JSON on stdout.")


PROCESSES = typer.Option(
    help="Spread the work over so many processes, each with its share of the cores, or its own "
    "GPU. With --ray: workers over all machines. Default: this process alone."
)
RAY = typer.Option(
    help="Spread the work over a Ray cluster: auto, local or ray://HOST:10001 (extra cluster)."
)


def spread_of(processes: int | None, ray: str | None) -> Spread | None:
    """What was asked for; None: this process alone.

    Raises:
        InputError: for a number or an address that cannot be.
        MissingError: for Ray where it is not installed.
    """
    if processes is None and ray is None:
        return None
    from edaformer.engines.spread.spread import Spread

    if ray is None:
        return Spread("processes", processes, on_note=say)
    require("ray", "cluster")
    return Spread("ray", processes, ray, on_note=say)


def shares(spread: Spread | None) -> dict[str, Any]:
    """What JSON says of who did how much, where there were many."""
    return {} if spread is None else {"workers": spread.team.to_json()}


def _print_version(value: bool) -> None:
    if value:
        echo(__version__)
        raise typer.Exit


VERSION = typer.Option(
    "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
)

MEAN = typer.Option(
    help="Mean of the images it was trained on, of 0 to 255, in the order of its channels: "
    "123.675,116.28,103.53. Default: the checkpoint's own where recorded, else ImageNet's."
)
STD = typer.Option(help="Their deviation, likewise: 58.395,57.12,57.375.")
BGR = typer.Option(
    "--bgr",
    help="It was trained on blue first, as OpenCV reads; the artifact takes RGB all the same.",
)
HEADS = typer.Option(
    help="Attention heads of stages 1 to 4 of a SegFormer's or FeedFormer's encoder, where a file "
    "does not say: 1,2,5,8, which is the default for the channels of MiT-B0 to -B5."
)
ALIGN_CORNERS = typer.Option(
    help="SegFormer: what is upsampled corner to corner (align_corners=True), where a file does "
    "not say: nothing, its logits, or all maps. Default: as the project does that wrote it."
)
PLAN_SUFFIXES = frozenset({".plan", ".engine", ".trt"})
NAMES = typer.Option(
    help="Class names, one a line, in UTF-8. Default: the checkpoint's own where recorded."
)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever a user can cause into one sentence on stderr and its exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        debug = bool(kwargs.get("debug"))
        logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if debug else logging.ERROR)
        if not debug:  # Pillow's remarks on large pictures and damaged metadata
            warnings.filterwarnings("ignore", module="PIL")
        try:
            made = command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read the output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(EXIT_PIPE) from None
        except (EdaformerError, OSError, MemoryError, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            message, code = _explain(error)
        else:
            return made
        say(in_one_line(message))
        raise typer.Exit(code)

    return run


def _explain(error: BaseException) -> tuple[str, int]:
    """One sentence and the exit code."""
    if isinstance(error, EdaformerError):
        return f"error: {error}", error.exit_code
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or str(error)
        return f"error: {where}{reason}; check the path and its permissions", EXIT_INPUT
    if isinstance(error, MemoryError):
        return "error: out of memory; use a smaller --size or --batch", EXIT_INPUT
    return "interrupted", EXIT_INTERRUPTED


def run(command: Callable[..., None]) -> None:
    """The entry point of a console script of one command."""
    app = new_app()
    app.command()(command)
    app()


def new_app() -> typer.Typer:
    """A typer application as ours look."""
    return typer.Typer(
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def say(message: str) -> None:
    """A line for the person, on stderr."""
    _write(message, sys.stderr)


def echo(text: str = "") -> None:
    """A line of the result, on stdout."""
    _write(text, sys.stdout)


def _write(text: str, stream: TextIO) -> None:
    """All that a command prints goes through here: shown, never obeyed, on any console."""
    shown = encodable(printable(text), getattr(stream, "encoding", None) or "utf-8")
    typer.echo(shown, file=stream)


def say_next(*words: object, when: str | None = "next") -> None:
    """A line that can be typed as it is, on stderr.

    Args:
        words: of the line.
        when: what it is for; None where the line before says it.
    """
    line = shlex.join(map(str, words))
    say(f"  {line}" if when is None else f"{when}: {line}")


def say_notes(notes: Iterable[str]) -> None:
    """What was found and left out, on stderr."""
    for note in notes:
        say(f"note: {note}")


def output_path(
    given: Path | None, default: Path, *, force: bool, not_named: Collection[str]
) -> Path:
    """Where to write: what -o names, else the default, which is not replaced without --force.

    Args:
        given: by -o.
        default: without it.
        force: whether the default may be replaced.
        not_named: suffixes of what is not written here.
    """
    if given is not None and given.suffix in not_named:
        raise InputError(
            f"{given.suffix} is not what is written here; name the file "
            f"{given.with_suffix(default.suffix)}, or otherwise, with -o"
        )
    if given is not None:
        return given
    if default.exists() and not force:
        raise InputError(
            f"{default} exists already; replace it with --force or name another with -o"
        )
    return default


def print_json(content: dict[str, Any]) -> None:
    """The result for a program, on stdout; what JSON lacks (NaN, infinity) is null."""
    echo(json.dumps(_finite(content), indent=1, allow_nan=False))


def echo_line(text: str) -> None:
    """A line of the result; what the terminal has no room for goes on below, indented."""
    for line in layout.line(in_one_line(text)):
        echo(line)


def print_pairs(title: str, pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, under a title; values that are None are left out."""
    echo(title)
    print_values(pairs)


def print_values(pairs: Iterable[tuple[str, object]]) -> None:
    """The same without a title."""
    shown = [(name, in_one_line(str(value))) for name, value in pairs if value is not None]
    for line in layout.pairs(shown):
        echo(line)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with its first column left and the others right aligned."""
    for line in layout.table(columns, [[in_one_line(cell) for cell in row] for row in rows]):
        echo(line)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
