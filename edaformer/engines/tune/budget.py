"""What is asked for: the most saving within a drop, or the most accuracy within a cost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edaformer.errors import InputError

Kind = Literal["miou-drop", "latency", "gmacs"]
_UNITS = {"miou-drop": "points of mIoU", "latency": "ms", "gmacs": "GMACs"}


@dataclass(frozen=True)
class Budget:
    """One limit: points of mIoU against base, seconds of a frame, or 10^9 multiply-adds."""

    kind: Kind = "miou-drop"
    limit: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit >= 0):
            raise InputError(f"expected --max-{self.kind} of 0 or more, got {self.limit:g}")

    @property
    def text(self) -> str:
        """``at most 0.5 points of mIoU lost``."""
        lost = " lost" if self.kind == "miou-drop" else ""
        return f"at most {self.shown(self.limit)}{lost}"

    def shown(self, value: float) -> str:
        """A value of the budget's kind, with its unit."""
        return f"{value * 1e3 if self.kind == 'latency' else value:.4g} {_UNITS[self.kind]}"

    def allows(self, cost: float, drop: float) -> bool:
        """Whether this cost and drop are within the limit."""
        return (drop if self.kind == "miou-drop" else cost) <= self.limit

    def pick(
        self, cost: NDArray[np.float64], miou: NDArray[np.float64], drop: NDArray[np.float64]
    ) -> int | None:
        """The best setting within the budget; None where there is none.

        Args:
            cost: of each.
            miou: of each, over all images.
            drop: of each against base, the largest of those that must hold.
        """
        within = [at for at in range(len(cost)) if self.allows(cost[at], drop[at])]
        if not within:
            return None
        if self.kind == "miou-drop":
            return min(within, key=lambda at: (cost[at], -miou[at], at))
        return min(within, key=lambda at: (-miou[at], cost[at], at))


def parse_milliseconds(text: str) -> float:
    """Read ``8ms`` or ``8``, in seconds.

    Raises:
        InputError: if it is no number of milliseconds.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:ms)?\s*", text)
    if match is None:
        raise InputError(f"expected --max-latency in milliseconds, such as 8ms, got '{text}'")
    return float(match[1]) / 1e3
