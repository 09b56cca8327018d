"""The rule by which settings are searched; docs/tuning.md says it in words.

1. Base, each place alone and the named settings are tried on the first 8 tuning images.
2. A surrogate guesses the drop of every other setting, and those nearest the guessed front, over
   the whole range of costs, are tried, in four batches, each with the surrogate fitted again.
3. The images double. At each doubling half of the settings go on, at most, and of them only what is
   not behind the front by more than a standard error of the paired difference.
4. What is left goes on to all images.
5. Settings that may be a better pick are looked for, most promising first, until a round of them
   brings none. A drop must be within the budget on the images tuned on, on those held out, and on
   all of them.

Everything is deterministic: the same trials lead to the same next ones, hence ``--resume``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.search.accuracy import Evaluator
from edaformer.engines.tune.search.setting import Setting
from edaformer.engines.tune.search.space import Space
from edaformer.engines.tune.search.surrogate import Guess, guess
from edaformer.evaluation.metrics import iou_of_counts

FIRST_IMAGES = 8
BATCHES = 4
FINALISTS = 24
BINS = 24  # of the cost range, so that what goes on is spread over it
ROUND = 12  # settings of a round of step 5
ROUNDS = 12
_REPLICATES = 200
_SEED = 20240717
_HOPELESS = 0.02  # probability of being within the budget below which a setting is not tried


@dataclass(frozen=True)
class Split:
    """Which images are tuned on, in the order in which they are taken, and which are held out."""

    tuned: tuple[int, ...]
    held: tuple[int, ...]

    @classmethod
    def of(cls, images: int, holdout: float) -> Split:
        """``holdout`` of the images, evenly spread: one half is every second one."""
        held = tuple(at for at in range(images) if int((at + 1) * holdout) > int(at * holdout))
        rest = [at for at in range(images) if at not in set(held)]
        return cls(tuple(rest[place] for place in _spread(len(rest))), held)

    @property
    def every(self) -> tuple[int, ...]:
        """All, tuned first."""
        return self.tuned + self.held


@dataclass
class Search:
    """One run of the rule."""

    space: Space
    evaluator: Evaluator
    split: Split
    budget: Budget
    trials: int  # settings tried on the first images
    named: tuple[Setting, ...]
    on_step: Callable[[str], None] = lambda _: None

    def run(self) -> tuple[Setting, ...]:
        """The settings that were tried on all images, base first."""
        always = tuple(dict.fromkeys((*self.space.settings[:1], *self.space.alone(), *self.named)))
        pool = self._screen(always)
        levels = _doublings(len(self.split.tuned))
        for before, images in itertools.pairwise(levels):
            most = max(len(pool) // 2, FINALISTS)
            pool = self._promote(pool, always, most, self.split.tuned[:before])
            self._try(pool, self.split.tuned[:images])
        finalists = self._promote(pool, always, FINALISTS, self.split.tuned)
        self._try(finalists, self.split.every)
        return self._refine(finalists)

    def miou(self, settings: Sequence[Setting], images: Sequence[int]) -> NDArray[np.float64]:
        """Of the confusion summed over ``images``, in points."""
        return mean_iou(self.evaluator.trials.matrix(settings, images).sum(axis=1))

    def pick(self, done: Sequence[Setting]) -> Setting | None:
        """The best of ``done``, base first; None where none is within the budget."""
        parts = [images for images in vars(self.split).values() if images]
        miou = [self.miou(done, images) for images in (self.split.every, *parts)]
        drop = np.max([one[0] - one for one in miou], axis=0)
        at = self.budget.pick(self.space.cost[self.space.at(done)], miou[0], drop)
        return None if at is None else done[at]

    def _screen(self, always: tuple[Setting, ...]) -> tuple[Setting, ...]:
        """Steps 1 and 2."""
        first = self.split.tuned[: _doublings(len(self.split.tuned))[0]]
        pool = list(always)
        self._try(pool, first)
        missing = max(min(self.trials, len(self.space)) - len(pool), 0)
        for batch in range(BATCHES):
            count = missing // BATCHES + (batch < missing % BATCHES)
            behind = regret(self.space.cost, -self._guess(pool, first).drop)
            behind[self.space.at(pool)] = np.inf
            order = spread_over(self.space.cost, behind)
            untried = [self.space.settings[at] for at in order if np.isfinite(behind[at])]
            pool += untried[:count]
            self._try(pool, first)
        return tuple(pool)

    def _promote(
        self, pool: tuple[Setting, ...], always: tuple[Setting, ...], most: int,
        images: tuple[int, ...],
    ) -> tuple[Setting, ...]:  # fmt: skip
        """Those of ``pool`` that go on: within a standard error of its front, ``most`` at most."""
        counts = self.evaluator.trials.matrix(pool, images)
        cost = self.space.cost[self.space.at(pool)]
        miou = mean_iou(counts.sum(axis=1))
        behind, ahead = regret(cost, miou), _best_below(cost, miou)
        replicates = _replicates(counts)
        error = (replicates[ahead] - replicates).std(axis=1)
        order = spread_over(cost, behind)
        kept = [pool[at] for at in order if behind[at] <= error[at]][:most]
        return tuple(dict.fromkeys((*always, *kept)))

    def _refine(self, complete: tuple[Setting, ...]) -> tuple[Setting, ...]:
        """Step 5."""
        done, wanting = list(complete), list[Setting]()
        for number in range(ROUNDS):
            pick = self.pick(done)
            guessed = self._guess(done, self.split.every)
            chosen = self._promising(done, pick, guessed, wanting)
            if not chosen:
                break
            self.on_step(f"looking for a better pick, round {number + 1}")
            self._try(chosen, self.split.tuned)
            base, *others = self.miou([done[0], *chosen], self.split.tuned)
            costs = self.space.cost[self.space.at(chosen)]
            within = [one for one, miou, cost in zip(chosen, others, costs, strict=True)
                      if self.budget.allows(cost, base - miou)]  # fmt: skip
            self._try(within, self.split.every)
            done += within
            wanting += [one for one in chosen if one not in within]
            if self.pick(done) == pick:
                break
        return tuple(done)

    def _promising(
        self, done: Sequence[Setting], pick: Setting | None, guessed: Guess,
        wanting: Sequence[Setting],
    ) -> list[Setting]:  # fmt: skip
        """What may beat the pick, by what it would gain times how probable that is."""
        cost = self.space.cost
        best_cost, best_drop = cost[0], np.inf
        if pick is not None:
            base, own = self.miou([done[0], pick], self.split.every)
            best_cost, best_drop = cost[self.space.index[pick]], base - own
        if self.budget.kind == "miou-drop":
            gain = best_cost - cost
            slack = self.budget.limit - guessed.drop
        else:
            gain = np.where(cost <= self.budget.limit, guessed.error, 0.0)
            slack = best_drop - guessed.drop
        sure = np.array([(1 + erf(one / guessed.error / sqrt(2))) / 2 for one in slack])
        value = np.where((gain > 0) & (sure >= _HOPELESS), gain * sure, 0.0)
        value[self.space.at([*done, *wanting])] = 0.0
        order = np.argsort(-value, kind="stable")[:ROUND]
        return [self.space.settings[at] for at in order if value[at] > 0]

    def _guess(self, tried: Sequence[Setting], images: Sequence[int]) -> Guess:
        miou = self.miou(tried, images)
        return guess(self.space.features(), self.space.at(tried), miou[0] - miou)

    def _try(self, settings: Sequence[Setting], images: Sequence[int]) -> None:
        self.on_step(f"{len(settings)} settings on {len(images)} images")
        self.evaluator.evaluate(settings, images)


def regret(cost: NDArray[np.float64], miou: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each is behind the best that costs no more; 0 on the front."""
    made: NDArray[np.float64] = miou[_best_below(cost, miou)] - miou
    return made


def spread_over(cost: NDArray[np.float64], behind: NDArray[np.float64]) -> NDArray[np.intp]:
    """All, the least ``behind`` of each of BINS equal parts of the cost range first, and so on.

    The front is dense where much accuracy is lost; without this hardly anything else would go on.
    """
    width = (cost.max() - cost.min()) / BINS or 1.0
    part = np.minimum((cost - cost.min()) / width, BINS - 1).astype(np.intp)
    rank = np.empty(len(cost), np.intp)
    for one in range(BINS):
        inside = np.flatnonzero(part == one)
        rank[inside[np.argsort(behind[inside], kind="stable")]] = np.arange(len(inside))
    return np.lexsort((part, rank))


def mean_iou(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3, classes) -> mIoU (...), absent classes left out."""
    iou = iou_of_counts(counts)
    present = ~np.isnan(iou)
    count = np.maximum(present.sum(axis=-1), 1)  # images of void alone tell nothing: 0 for all
    made: NDArray[np.float64] = np.where(present, iou, 0).sum(axis=-1) / count
    return made


def _best_below(cost: NDArray[np.float64], miou: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each: the one of highest mIoU among those that cost no more, itself included."""
    order = np.lexsort((-miou, cost))
    best = np.empty(len(cost), np.intp)
    top = order[0]
    for at in order:
        if miou[at] > miou[top]:
            top = at
        best[at] = top
    return best


def _replicates(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(settings, images, 3, classes) -> mIoU (settings, replicates) of a Poisson bootstrap.

    One weight counts for an image in all settings, so that differences stay paired.
    """
    images = counts.shape[1]
    weights = np.random.RandomState(_SEED).poisson(1.0, (_REPLICATES, images)).astype(np.float64)
    weights[weights.sum(axis=1) == 0] = 1.0
    return np.stack([mean_iou(np.tensordot(weights, one, axes=1)) for one in counts])


def _doublings(images: int) -> list[int]:
    """8, 16, 32 and so on, and all."""
    made = []
    count = FIRST_IMAGES
    while count < images:
        made.append(count)
        count *= 2
    return [*made, images]


def _spread(count: int) -> list[int]:
    """0 .. count-1 such that every beginning of the list is spread over the whole range."""
    bits = max(count - 1, 1).bit_length()
    reversed_bits = (int(f"{at:0{bits}b}"[::-1], 2) for at in range(1 << bits))
    return [at for at in reversed_bits if at < count]
