"""What is searched: every ISR of some factors times the trained ratios, and what each costs.

In a second space those worth an export stand beside forms of them in eight bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.tune.search.setting import Setting, parts_of
from edaformer.export.quantise.parts import PARTS
from edaformer.isr import EDAFORMER, ISR, Places

FACTORS = (1, 2, 4)  # beyond four times the trained ratios nothing is worth its accuracy


def every_setting(
    size: tuple[int, int], factors: tuple[int, ...] = FACTORS, places: Places = EDAFORMER
) -> tuple[ISR, ...]:
    """All that fit the maps of an input of ``size`` (H, W), padding included; base is the first.

    Raises:
        ISRError: if not even the trained ratios fit.
    """
    places.base.check_fits(*size)
    choices = []
    for place in places.all:
        smallest = min(-(-side // place.stride) for side in size)
        ratios = (place.base * factor for factor in factors)
        choices.append([ratio for ratio in ratios if ratio <= smallest])
    return tuple(map(places.isr, itertools.product(*choices)))


@dataclass(frozen=True)
class Space:
    """Settings, and the cost that is to be lowered: GMACs, seconds on a device, or bytes moved."""

    settings: tuple[Setting, ...]  # base is the first, in float
    cost: NDArray[np.float64]
    index: dict[Setting, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: tuple[Setting, ...], cost: Callable[[Setting], float]) -> Space:
        """Cost every setting."""
        costs = np.array([cost(one) for one in settings])
        return cls(settings, costs, {one: at for at, one in enumerate(settings)})

    def __len__(self) -> int:
        return len(self.settings)

    def at(self, settings: Iterable[Setting]) -> NDArray[np.intp]:
        """Where they are."""
        return np.array([self.index[one] for one in settings], np.intp)

    def alone(self) -> tuple[Setting, ...]:
        """Those that differ from base in one place, or in one part in eight bits."""
        base = self.settings[0].ratios
        return tuple(
            one
            for one in self.settings
            if sum(own != trained for own, trained in zip(one.ratios, base, strict=True))
            + len(parts_of(one))
            == 1
        )

    def features(self) -> NDArray[np.float64]:
        """(settings, features) for the surrogate: each place's ratio, pairs of places, parts."""
        ratios = np.array([one.ratios for one in self.settings])
        steps = np.log2(ratios / ratios[0])
        places = range(steps.shape[1])
        single = [steps[:, at] == step for at in places
                  for step in np.unique(steps[:, at])[1:]]  # fmt: skip
        pairs = [steps[:, a] * steps[:, b] for a, b in itertools.combinations(places, 2)]
        parts = [[part in parts_of(one) for one in self.settings] for part in PARTS]
        quantised = [column for column in parts if any(column)]
        made: NDArray[np.float64] = np.array([*single, *pairs, *quantised], np.float64).T
        return made
