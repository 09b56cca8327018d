"""Where the time of one frame went."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class FrameTimes:
    """Seconds; all but ``wall`` by the GPU's own clock (CUDA events).

    ``wall`` is a whole frame of another run: also the host's share, and copying the image into
    memory that the GPU can read, and the labels out of it. Copies take no time where the GPU shares
    the host's memory.
    """

    copy_in: float
    preprocess: float
    network: float
    postprocess: float
    copy_out: float
    wall: float

    def to_json(self) -> dict[str, float]:
        """Seconds by name."""
        return asdict(self)
