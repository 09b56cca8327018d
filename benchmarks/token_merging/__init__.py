"""Token merging in SegFormer's attention, for benchmarks/merging.py: how much merges, and where."""

from __future__ import annotations

from dataclasses import dataclass

Size = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class Merging:
    """Bipartite merging of the tokens of a map."""

    share: float  # of all tokens, that go into others; at most all sources do
    stride: int  # one token of every cell of so many by so many is a destination
    first: int = 0  # the row and column of the first destination

    def divide(self, size: Size) -> tuple[list[int], list[int]]:
        """Sources and destinations on a map of ``size``, row by row."""
        height, width = size
        chosen = [
            row % self.stride == column % self.stride == self.first
            for row in range(height)
            for column in range(width)
        ]
        sources = [at for at, is_chosen in enumerate(chosen) if not is_chosen]
        return sources, [at for at, is_chosen in enumerate(chosen) if is_chosen]

    def kept(self, size: Size) -> int:
        """How many sources stay by themselves."""
        sources, destinations = self.divide(size)
        return max(len(sources) - round(self.share * (len(sources) + len(destinations))), 0)

    def macs(self, size: Size, channels: int) -> int:
        """Multiply-adds of likening sources to destinations, and of the sums."""
        sources, destinations = (len(part) for part in self.divide(size))
        return 2 * sources * destinations * channels


Four = tuple[Merging | None, Merging | None, Merging | None, Merging | None]
NOWHERE: Four = (None, None, None, None)


@dataclass(frozen=True)
class Where:
    """What merges in each stage."""

    keys: Four = NOWHERE  # with their values, after the trained reduction
    queries: Four = NOWHERE


NOTHING = Where()


def by_stage(early: Merging, late: Merging) -> Where:
    """SegFormer++'s division: keys in stages 1 and 2, queries in 3 and 4."""
    return Where(keys=(early, early, None, None), queries=(None, None, late, late))


HQ = by_stage(Merging(0.6, 2), Merging(0.8, 4))
FAST = by_stage(Merging(0.9, 4), Merging(0.9, 4))
QUARTER = Where(keys=(Merging(0.75, 2),) * 4)  # as many keys as ISR 16,8,4,2 leaves, in all stages
QUARTER_FROM_SECOND = Where(keys=(Merging(0.75, 2, first=1),) * 4)
