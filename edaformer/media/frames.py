"""What every source gives: frames, one at a time, that know what their outputs are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from edaformer.pictures import Pixels

__all__ = ["Frame", "Needs", "Pixels", "Source", "never", "numbered"]

Needs = Literal["av", "opencv", "gstreamer"]


@dataclass(frozen=True)
class Frame:
    """One picture."""

    name: str  # what people are told
    key: str  # of its outputs: a relative path without suffix
    pixels: Pixels
    rate: float | None = None  # frames a second of its source; None: a picture by itself
    time: float | None = None  # seconds, as its source has them; None: a picture by itself
    dropped: int = 0  # frames of a live source that came since the one before and were passed over

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def series(self) -> str:
        """The key of its source, where that has many frames."""
        return self.key.rpartition("/")[0]


def never() -> bool:
    """Nobody wants to stop."""
    return False


class Source(Protocol):
    """Somewhere frames come from; nothing is opened before ``frames`` is asked for the first."""

    @property
    def name(self) -> str:
        """What people are told."""

    @property
    def count(self) -> int | None:
        """How many frames it has; None where only reading them tells."""

    @property
    def live(self) -> bool:
        """Whether it goes on until somebody stops it."""

    @property
    def needs(self) -> Needs | None:
        """What reads it, beyond the base packages."""

    def frames(self, stop: Callable[[], bool] = never) -> Iterator[Frame]:
        """Its frames, in order; none is kept.

        Args:
            stop: asked while a live source has no frame; True ends it.

        Raises:
            FrameError: where it cannot be read, or not any further.
        """


def numbered(key: str, index: int) -> str:
    """The key of one frame of many."""
    return f"{key}/{index:06d}"
