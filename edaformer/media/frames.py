"""What every source gives: frames, one at a time, that know what their outputs are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass(frozen=True)
class Frame:
    """One picture."""

    name: str  # what people are told
    key: str  # of its outputs: a relative path without suffix
    pixels: Pixels
    rate: float | None = None  # frames a second of its source; None: a picture by itself

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


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
    def uses_opencv(self) -> bool:
        """Whether OpenCV reads it."""

    def frames(self) -> Iterator[Frame]:
        """Its frames, in order; none is kept.

        Raises:
            FrameError: where it cannot be read, or not any further.
        """


def numbered(key: str, index: int) -> str:
    """The key of one frame of many."""
    return f"{key}/{index:06d}"
