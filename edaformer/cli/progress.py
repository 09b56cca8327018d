"""Progress on stderr: what is being done, how many images, how fast, how long still.

A terminal or not, nobody waits longer than SILENCE for a line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from edaformer.cli.common import say

SILENCE = 3.0  # seconds


class _Teller:
    """Says ``line()`` whenever nothing was said for SILENCE, from a thread that ends with it."""

    def __init__(self, line: Callable[[], str]) -> None:
        self._line, self._said_at, self._over = line, time.monotonic(), Event()
        self._thread = Thread(target=self._watch, name="progress", daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        self._said_at = time.monotonic()
        say(line)

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(max(self._said_at + SILENCE - time.monotonic(), 0.01)):
            if time.monotonic() >= self._said_at + SILENCE:
                self.say(self._line())


@contextmanager
def steps(first: str) -> Iterator[Callable[[str], None]]:
    """Each step is said when it begins, and every few seconds how long it has taken.

    Args:
        first: what is being done until the first one is told; said only if it takes long.
    """
    step, start = first, time.monotonic()

    def begin(name: str) -> None:
        nonlocal step, start
        step, start = name, time.monotonic()
        teller.say(f"... {name}")

    teller = _Teller(lambda: f"... {step}, {time.monotonic() - start:.0f} s")
    try:
        yield begin
    finally:
        teller.close()


@contextmanager
def image_progress(
    who: Callable[[], str] = lambda: "",
) -> Iterator[Callable[[int, int | None], None]]:
    """A bar where stderr is a terminal, a line every few seconds elsewhere.

    It is told how many images are done, and of how many; None where nobody knows.

    Args:
        who: says who is at work, where that is worth a word.
    """
    start = time.monotonic()
    if not sys.stderr.isatty():
        done: int = 0
        total: int | None = None

        def tell(now: int, of: int | None) -> None:
            nonlocal done, total
            done, total = now, of

        teller = _Teller(lambda: _line(done, total, time.monotonic() - start, who()))
        try:
            yield tell
        finally:
            teller.close()
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
        TextColumn("{task.fields[who]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=None, rate=0.0, who="")
        yield lambda done, total: bar.update(
            task,
            completed=done,
            total=total,
            rate=_rate(done, time.monotonic() - start),
            who=who(),
        )


def _line(done: int, total: int | None, seconds: float, who: str = "") -> str:
    by = f", {who}" if who else ""
    if not done:
        return f"... no image yet, {seconds:.0f} s{by}"
    rate = _rate(done, seconds)
    if total is None:
        return f"... {done}, {rate:.2f} images/s{by}"
    return f"... {done} of {total}, {rate:.2f} images/s, {(total - done) / rate:.0f} s left{by}"


def _rate(done: int, seconds: float) -> float:
    return done / max(seconds, 1e-9)
