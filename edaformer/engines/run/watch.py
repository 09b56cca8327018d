"""What whoever starts a run hears of it, and how its frames are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from edaformer.errors import FrameError
from edaformer.media.frames import Frame, Source


@dataclass(frozen=True)
class Skipped:
    """An input, or a frame of it, that could not be used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Watch:
    """Calls during a run; ``stop`` is asked before each frame and ends it early."""

    on_frame: Callable[[int, int | None], None] = lambda _done, _total: None
    on_skip: Callable[[Skipped], None] = lambda _: None
    on_note: Callable[[str], None] = lambda _: None  # what is left out, connections that are lost
    stop: Callable[[], bool] = lambda: False


class Skips:
    """The inputs and frames that could not be used; each is reported when it comes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.all: list[Skipped] = []

    def add(self, name: str, reason: str) -> None:
        """Leave it out."""
        self.all.append(Skipped(name, reason))
        self._watch.on_skip(self.all[-1])

    def first(self) -> str:
        """The first one in brackets, for a sentence; empty where there is none."""
        return f" ({self.all[0].name}: {self.all[0].reason})" if self.all else ""


def read_frames(sources: Iterable[Source], watch: Watch, skips: Skips) -> Iterator[Frame]:
    """Every frame that can be read, until all are or ``watch`` says stop."""
    for source in sources:
        for frame in _readable(source, watch, skips):
            if watch.stop():
                return
            yield frame


def _readable(source: Source, watch: Watch, skips: Skips) -> Iterator[Frame]:
    try:
        yield from source.frames(watch.stop)
    except FrameError as error:
        skips.add(source.name, str(error))


def total(sources: Iterable[Source], limit: int | None) -> int | None:
    """How many frames there will be, as far as that can be told."""
    counts = [source.count for source in sources]
    known = None if None in counts else sum(count for count in counts if count is not None)
    return known if limit is None or (known is not None and known < limit) else limit
