"""The deployed network layer by layer: multiply-adds, and the values each layer reads and writes.

The counts are those of families/cost.py, by layer; what is pointwise (activation, softmax, bias,
residual sum) is taken as fused into its neighbour, as TensorRT does. A layer stands for one kernel,
so what it reads and writes crosses the memory once. No torch is needed.

Letters: C channels, N queries, M keys, K hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Layer:
    """One kernel, and how often it occurs."""

    name: str
    macs: int
    weights: int  # values, read
    reads: int  # values of activations
    writes: int
    image_bytes: int = 0  # uint8 in and out: the frame, the labels
    times: int = 1

    def traffic(self, value_bytes: int = 2) -> int:
        """Bytes that cross the memory each time it runs; FP16 unless said otherwise."""
        return (self.weights + self.reads + self.writes) * value_bytes + self.image_bytes

    def repeated(self, times: int) -> Layer:
        """The same, ``times`` as often."""
        return replace(self, times=times * self.times)

    def activations(self, value_bytes: int = 2) -> int:
        """Bytes that are alive while it runs."""
        return (self.reads + self.writes) * value_bytes + self.image_bytes


def mlp_layers(channels: int, hidden: int, tokens: int) -> tuple[Layer, ...]:
    """A block's second half: the MLP, and the normalisation before it."""
    n, wide, weights = tokens * channels, tokens * hidden, channels * hidden
    return (
        Layer("normalise again", 0, 2 * channels, n, n),
        Layer("widen", n * hidden, weights, n, wide),
        Layer("depthwise", 9 * wide, 9 * hidden, wide, wide),
        Layer("narrow and add", wide * channels, weights, wide + n, n),
    )
