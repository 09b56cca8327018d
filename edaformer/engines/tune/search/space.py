"""What is searched: every ISR of some factors times the trained ratios, and what each costs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    """Settings, and the cost that is to be lowered: GMACs, or seconds on a device."""

    settings: tuple[ISR, ...]  # base is the first
    cost: NDArray[np.float64]
    index: dict[ISR, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: tuple[ISR, ...], cost: Callable[[ISR], float]) -> Space:
        """Cost every setting."""
        costs = np.array([cost(isr) for isr in settings])
        return cls(settings, costs, {isr: at for at, isr in enumerate(settings)})

    def __len__(self) -> int:
        return len(self.settings)

    def at(self, settings: Iterable[ISR]) -> NDArray[np.intp]:
        """Where they are."""
        return np.array([self.index[isr] for isr in settings], np.intp)

    def alone(self) -> tuple[ISR, ...]:
        """Those that differ from base in one place."""
        base = self.settings[0].ratios
        return tuple(
            isr
            for isr in self.settings
            if sum(own != trained for own, trained in zip(isr.ratios, base, strict=True)) == 1
        )

    def features(self) -> NDArray[np.float64]:
        """(settings, features) for the surrogate: each place's ratio, and pairs of places."""
        ratios = np.array([isr.ratios for isr in self.settings])
        steps = np.log2(ratios / ratios[0])
        places = range(steps.shape[1])
        single = [steps[:, at] == step for at in places
                  for step in np.unique(steps[:, at])[1:]]  # fmt: skip
        pairs = [steps[:, a] * steps[:, b] for a, b in itertools.combinations(places, 2)]
        made: NDArray[np.float64] = np.array([*single, *pairs], np.float64).T
        return made
