"""What a decoder of convolutions computes, layer by layer: the one list that all counts are off.

Counted as families/cost.py counts: convolutions, not pooling, resizing or normalisation. A step is
one kernel, as in families/layers.py: what it reads and writes crosses the memory once; BatchNorm
and ReLU are part of their convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

from edaformer.families.cost import Size, map_of
from edaformer.families.mit.sizes import MiTSizes


@dataclass(frozen=True)
class Step:
    """One layer of the network as trained."""

    name: str
    macs: int = 0
    weights: int = 0  # values, as deployed: BatchNorm is folded
    params: int = 0  # trainable ones
    reads: int = 0  # values of activations
    writes: int = 0
    saved: int = 0  # multiply-adds that the default rewrites do without


@dataclass(frozen=True)
class Maps:
    """What an encoder hands over for one image."""

    sizes: MiTSizes
    size: Size  # of the image

    def area(self, stride: int) -> int:
        """Positions of a map of this stride."""
        rows, columns = map_of(self.size, stride)
        return rows * columns

    @property
    def areas(self) -> tuple[int, ...]:
        """Positions of its four maps, c1 first."""
        return tuple(self.area(stride) for stride in self.sizes.map_strides)


def convolve(
    name: str, area: int, inputs: int, outputs: int, kernel: int = 1, *, bias: bool = False
) -> Step:
    """A convolution over ``area`` positions, with a bias, or else with BatchNorm behind it."""
    weights = inputs * outputs * kernel**2
    return Step(
        name,
        macs=area * weights,
        weights=weights + outputs,
        params=weights + outputs * (1 if bias else 2),
        reads=area * inputs,
        writes=area * outputs,
    )


def depthwise(name: str, area: int, channels: int) -> Step:
    """A depthwise 3x3 convolution without a bias, over ``area`` positions."""
    weights = 9 * channels
    return Step(name, area * weights, weights, weights, area * channels, area * channels)


def move(name: str, reads: int, writes: int) -> Step:
    """Pooling, resizing, adding or concatenating."""
    return Step(name, reads=reads, writes=writes)
