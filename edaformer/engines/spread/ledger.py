"""Which units wait, who has which in hand, and how often a worker died of one.

A worker that dies costs what it had in hand. Which of these it died of, nobody knows: from then on
each of them goes to a worker that has nothing else in hand, so a unit is blamed at most once for
another's sake. After DEATHS it is named, and the work stops.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

DEATHS = 3  # of workers, on one unit


@dataclass
class Ledger:
    """Of units by their numbers; the least is given first."""

    waiting: deque[int]
    ahead: int
    suspects: deque[int] = field(default_factory=deque)  # a worker died with them in hand
    in_hand: dict[int, list[int]] = field(default_factory=dict)  # by worker
    deaths: Counter[int] = field(default_factory=Counter)
    failed: dict[int, Exception] = field(default_factory=dict)

    @classmethod
    def of(cls, units: Iterable[int], ahead: int) -> Ledger:
        """All of them waiting."""
        return cls(deque(units), ahead)

    @property
    def is_over(self) -> bool:
        """Whether nothing is in hand and nothing will be given any more."""
        left = self.suspects or (self.waiting and not self.failed)
        return not left and not any(self.in_hand.values())

    def next_for(self, member: int) -> int | None:
        """What a worker gets now; None: nothing."""
        held = self.in_hand.setdefault(member, [])
        if self.suspects:
            if held:
                return None  # until its hands are free
            return self._hand(held, self.suspects)
        full = len(held) > self.ahead or any(number in self.deaths for number in held)
        if full or not self.waiting or self.failed:  # what comes later than a failure is not asked
            return None
        return self._hand(held, self.waiting)

    def done(self, member: int, number: int) -> None:
        """A unit was done, or failed."""
        self.in_hand[member].remove(number)

    def died(self, member: int) -> int | None:
        """A worker did; the unit that DEATHS of them died of, if this is it."""
        lost = self.in_hand.pop(member, [])
        self.deaths.update(lost)
        self.suspects.extend(lost)
        return next((number for number in lost if self.deaths[number] >= DEATHS), None)

    @staticmethod
    def _hand(held: list[int], source: deque[int]) -> int:
        held.append(source.popleft())
        return held[-1]
