"""The tables by which frames are resized, on the device: made once for every size of frame.

They stay where they are, for graphs that were captured know their addresses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edaformer.engines.runtime.cuda.gpu import Exchange
from edaformer.engines.runtime.kernels import Resizing
from edaformer.labels.geometry import Geometry
from edaformer.preprocess import Resize

if TYPE_CHECKING:
    from edaformer.engines.runtime.cuda.gpu import Gpu

_MOST = 16  # sizes at once, as many as graphs are kept: 31 KB for 1920x1080 to 512x512


class Tables:
    """Of one rule, by geometry."""

    def __init__(self, gpu: Gpu, rule: Resize) -> None:
        self._gpu, self._rule = gpu, rule
        self._held: dict[Geometry, tuple[Resizing, Exchange]] = {}

    def __getitem__(self, geometry: Geometry) -> Resizing:
        return self._held[geometry][0]

    def has_room(self, geometry: Geometry) -> bool:
        """Whether ``prepare`` can; if not, all of them have to be freed, and graphs with them."""
        return geometry in self._held or len(self._held) < _MOST

    def prepare(self, geometry: Geometry, stream: Any) -> None:
        """Have those of a geometry on the device, for what comes on ``stream`` after this."""
        if geometry in self._held:
            return
        made = Resizing.of(self._rule, geometry)
        memory = Exchange(self._gpu, made.tables.shape, np.int32)
        self._held[geometry] = replace(made, address=memory.address), memory
        np.copyto(memory.host, made.tables)
        memory.upload(stream)

    def free(self) -> None:
        """Give all memory back, while nothing reads it any more."""
        for _, memory in self._held.values():
            memory.free()
        self._held.clear()
