"""What an input costs: multiply-adds and parameters, exactly, from the sizes alone.

Counted, as the paper's GFLOPs are: convolutions, linear layers and both attention products; not
normalisation, pooling, activations or resizing. No torch is needed, so thousands of ISR settings
are counted in a moment. Each family counts its own, in its folder.

Letters: C channels, N queries, M keys, K hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass

from edaformer.isr import Places

Size = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class PartCost:
    """One part of the network, in multiply-adds."""

    name: str
    macs: int
    attention_macs: int  # the products q k^T and p v


@dataclass(frozen=True)
class Cost:
    """What one image costs."""

    params: int
    parts: tuple[PartCost, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds in all."""
        return sum(part.macs for part in self.parts)

    @property
    def gmacs(self) -> float:
        """10^9 multiply-adds."""
        return self.macs / 1e9

    @property
    def attention_share(self) -> float:
        """The fraction spent in the attention products."""
        return sum(part.attention_macs for part in self.parts) / self.macs


def map_of(size: Size, stride: int) -> Size:
    """(H, W) of a feature map of this stride."""
    return -(-size[0] // stride), -(-size[1] // stride)


def maps_of(places: Places, size: Size) -> list[Size]:
    """The (H, W) of the map that each place attends from, for an input of ``size``."""
    return [map_of(size, place.stride) for place in places.all]


def mlp_macs(channels: int, hidden: int) -> int:
    """A Mix-MLP's multiply-adds a token: two linear layers and a depthwise 3x3."""
    return hidden * (2 * channels + 9)


def mlp_params(channels: int, hidden: int) -> int:
    """Its parameters, biases included."""
    return (channels + 1) * hidden + 10 * hidden + (hidden + 1) * channels
