"""Semantic FPN's modules.

Letters: B batch, C channels of an encoder's map, P the pyramid's width, D the width of what is
added, H x W a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from edaformer.families.fuse import Convolve, upsample


class Grouped(Convolve):
    """Convolution -> GroupNorm -> ReLU.

    TensorRT-RTX 1.7 makes one kernel of a GroupNorm as it is traced, which sums in FP32 in a graph
    of FLOAT16. Written as LayerNorm, or by means and variances, seven of them take 8 to 14 kernels
    and 17 to 51 MB of traffic more at 512x512.
    """

    def __init__(self, channels: int, width: int, *, kernel: int = 1, groups: int) -> None:
        super().__init__(channels, width, kernel=kernel)
        self.norm = nn.GroupNorm(groups, width)


class FPNBody(nn.Module):
    """The pyramid and its branches, each c1's first; what comes out is c1's size."""

    def __init__(
        self, widths: Sequence[int], width: int, channels: int, counts: Sequence[int], *,
        groups: int | None,
    ) -> None:  # fmt: skip
        """Of so many convolutions a branch; with ``groups`` as smp has it."""
        super().__init__()
        self.aligned = smp = groups is not None
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in widths)
        self.smooth = nn.ModuleList(
            nn.Identity() if smp else nn.Conv2d(width, width, 3, padding=1) for _ in widths
        )

        def convolve(inputs: int) -> Convolve:
            if groups is None:
                return Convolve(inputs, channels, kernel=3)
            return Grouped(inputs, channels, kernel=3, groups=groups)

        self.branches = nn.ModuleList(
            nn.ModuleList(convolve(channels if done else width) for done in range(count))
            for count in counts
        )

    def forward(self, *maps: Tensor) -> Tensor:
        """c4 (B, C4, H4, W4) to c1 (B, C1, H1, W1) -> (B, D, H1, W1).

        All branches but c1's end with a doubling to its size. Doubling is linear: they are added
        before it, on a quarter of the positions. Where sides are odd, each is doubled and then cut
        down to c1's size, as mmsegmentation does.
        """
        sizes = [(m.shape[2], m.shape[3]) for m in maps[::-1]]
        whole = _whole(sizes)
        made = [
            self.branch(stage, feature, sizes if whole else None)
            for stage, feature in enumerate(self.pyramid(maps[::-1]))
        ]
        if whole:
            return made[0] + self.doubled(made[1] + made[2] + made[3], sizes[0])
        large = [upsample(self.doubled(m), sizes[0], aligned=self.aligned) for m in made[1:]]
        return sum(large, made[0])

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """c1 to c4 -> maps (B, P, H, W) of their sizes."""
        return [smooth(m) for smooth, m in zip(self.smooth, self.joined(maps), strict=True)]

    def joined(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps up to c4, the largest first -> those of the pyramid (B, P, H, W), not smoothed."""
        made: list[Tensor] = []
        for lateral, feature in list(zip(self.laterals[-len(maps) :], maps, strict=True))[::-1]:
            here = lateral(feature)
            if made:
                here = here + functional.interpolate(made[0], size=here.shape[2:], mode="nearest")
            made.insert(0, here)
        return made

    def branch(
        self, stage: int, feature: Tensor, sizes: Sequence[tuple[int, int]] | None
    ) -> Tensor:
        """(B, P, H, W), of stage 0..3 -> (B, D, H2, W2), and of stage 0 (B, D, H1, W1)."""
        for done, convolve in enumerate(cast(nn.ModuleList, self.branches[stage])):
            if done:
                feature = self.doubled(feature, sizes[stage - done] if sizes else None)
            feature = convolve(feature)
        return feature

    def doubled(self, feature: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, D, H, W) -> (B, D, 2 H, 2 W); ``size`` says the same where sides are symbols."""
        size = size or (2 * feature.shape[2], 2 * feature.shape[3])
        return upsample(feature, size, aligned=self.aligned)


def _whole(sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether each map is twice the next one's size; a symbol stands for a multiple of 32."""
    return all(
        not isinstance(large, int) or large == 2 * small
        for one, two in pairwise(sizes)
        for large, small in zip(one, two, strict=True)
    )
