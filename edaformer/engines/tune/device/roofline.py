"""Modelled latency: each layer takes as long as its arithmetic or its memory traffic, if longer.

The roofline model (Williams, Waterman and Patterson, CACM 2009) with a device's published rates. It
knows no launch, no cache and no kernel that misses the peak, so its milliseconds are a lower bound;
what it is for is the order of settings, which benchmarks/cost_model.py checks against measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edaformer.families.architecture import Architecture
from edaformer.families.layers import Layer
from edaformer.families.table import count_params, fixed_layers, layers, place_layers
from edaformer.isr import ISR


@dataclass(frozen=True)
class Ceilings:
    """What a device can do at best."""

    macs_per_second: float
    bytes_per_second: float
    value_bytes: int  # of a weight or an activation: 2 at FP16, 4 on a CPU

    def seconds(self, made_of: Iterable[Layer]) -> float:
        """The sum of the layers' times."""
        return sum(
            layer.times
            * max(
                layer.macs / self.macs_per_second,
                layer.traffic(self.value_bytes) / self.bytes_per_second,
            )
            for layer in made_of
        )


@dataclass
class Roofline:
    """One network at one input size on one device; each place and ratio is counted once."""

    variant: Architecture
    num_classes: int
    size: tuple[int, int]  # (H, W), padding included
    ceilings: Ceilings
    _known: dict[tuple[int, int], float] = field(default_factory=dict)
    _fixed: float | None = None

    def seconds(self, isr: ISR) -> float:
        """Of one frame at ``isr``."""
        if self._fixed is None:
            self._fixed = self.ceilings.seconds(
                fixed_layers(self.variant, self.num_classes, self.size)
            )
        return self._fixed + sum(self._place(at, ratio) for at, ratio in enumerate(isr.ratios))

    def _place(self, place: int, ratio: int) -> float:
        key = (place, ratio)
        if key not in self._known:
            made_of = place_layers(self.variant, self.size, place, ratio)
            self._known[key] = self.ceilings.seconds(made_of)
        return self._known[key]


def memory_bytes(variant: Architecture, num_classes: int, size: tuple[int, int], isr: ISR) -> int:
    """Modelled: FP16 weights, the decoder's inputs, and what the largest layer keeps alive."""
    made_of = layers(variant, num_classes, size, isr)
    kept = sum(
        2 * channels * -(-size[0] // stride) * -(-size[1] // stride)
        for channels, stride in variant.kept_maps
    )
    largest = max(layer.activations() for layer in made_of)
    return weights_bytes(variant, num_classes) + kept + largest


def weights_bytes(variant: Architecture, num_classes: int) -> int:
    """FP16 weights: the part of an engine's size that the checkpoint decides."""
    return 2 * count_params(variant, num_classes)
