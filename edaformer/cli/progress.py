"""Progress over images, on stderr: how many, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edaformer.cli.common import say

_EVERY = 25  # images a line where stderr is no terminal


@contextmanager
def image_progress() -> Iterator[Callable[[int, int | None], None]]:
    """A bar where stderr is a terminal, a line every 25 images elsewhere.

    It is told how many images are done, and of how many; None where nobody knows.
    """
    start = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda done, total: _say_line(done, total, time.monotonic() - start)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.2f} images/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=None, rate=0.0)
        yield lambda done, total: bar.update(
            task, completed=done, total=total, rate=_rate(done, time.monotonic() - start)
        )


def _say_line(done: int, total: int | None, seconds: float) -> None:
    if done % _EVERY:
        return
    rate = _rate(done, seconds)
    if total is None:
        say(f"... {done}, {rate:.2f} images/s")
    else:
        say(f"... {done} of {total}, {rate:.2f} images/s, {(total - done) / rate:.0f} s left")


def _rate(done: int, seconds: float) -> float:
    return done / max(seconds, 1e-9)
