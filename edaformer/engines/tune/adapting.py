"""Settings that miss the budget by little, adapted to (engines/adapt): a second front.

Adapting gave three quarters of what a setting loses back, and more (docs/adapting.md): a setting
that loses up to REACH times what may be lost is worth a try. They are taken in the order of what
they would save, and held against the same images and the original checkpoint at base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.engines.tune.points import Points
from edaformer.engines.tune.result import AdaptedPoint, Point, cost_of
from edaformer.engines.tune.search.accuracy import Evaluator
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.tune.search.trying import hired
from edaformer.errors import GateError, InputError
from edaformer.families.given import same_as
from edaformer.families.table import load_checkpoint
from edaformer.preprocess import ALIGN

if TYPE_CHECKING:
    from edaformer.engines.adapt.adapt import AdaptOptions
    from edaformer.engines.adapt.frames import Frames
    from edaformer.engines.spread.spread import Spread
    from edaformer.engines.tune.budget import Budget
    from edaformer.engines.validate.procedure import Procedure
    from edaformer.families.checkpoint import Checkpoint
    from edaformer.isr import ISR

REACH = 4.0  # times the points that may be lost
_TRIALS = ".trials.sqlite"  # beside an adapted checkpoint


@dataclass(frozen=True)
class AdaptedTo:
    """The tuning that it is part of."""

    checkpoint: Checkpoint
    points: Points
    procedure: Procedure
    budget: Budget
    bound: Mapping[str, str]  # what a trial depends on
    folder: Path  # of the checkpoints
    spread: Spread | None = None  # over which processes they are tried


@dataclass(frozen=True)
class Adapting:
    """With what, how, and how many settings."""

    frames: Frames
    options: AdaptOptions
    most: int

    def run(
        self, to: AdaptedTo, front: Sequence[Point], pick: Point, on_step: Callable[[str], None]
    ) -> tuple[AdaptedPoint, ...]:
        """Adapt to settings of the front, one after the other; what is there is not made again."""
        made = []
        for before in candidates(to.budget, front, pick)[: self.most]:
            on_step(f"adapting to {before.isr}")
            try:
                adapted = self._adapted(to, before.isr, on_step)
            except GateError as error:
                on_step(f"{before.isr}: {error}")
                continue
            made.append(_judged(to, before, adapted))
        return tuple(made)

    def _adapted(self, to: AdaptedTo, isr: ISR, on_step: Callable[[str], None]) -> Checkpoint:
        from edaformer.engines.adapt.adapt import adapt

        path = to.folder / f"{isr.slug}{to.checkpoint.path.suffix}"
        if not path.exists():
            adapt(
                to.checkpoint, (isr,), self.frames, self.options, path, resume=True,
                on_progress=lambda now: now.tell(on_step),
            )  # fmt: skip
        loaded = load_checkpoint(path, same_as(to.checkpoint))  # which a person may have told
        record = loaded.adapted
        if record is None or (record.source_sha256, record.isr, record.frames_sha256) != (
            to.checkpoint.sha256, (str(isr),), self.frames.sha256,
        ):  # fmt: skip
            raise InputError(
                f"{path} is not this checkpoint, adapted to {isr} on these frames; delete it, or "
                "name another folder with --out"
            )
        return loaded


def candidates(budget: Budget, front: Sequence[Point], pick: Point) -> list[Point]:
    """What is worth a try: of the front, what saves most first.

    For a drop, what saves more than the pick and loses at most REACH times what may be lost; for a
    cost, what is within it, the pick first.
    """
    front = [point for point in front if point.setting == point.isr]  # float is what learns
    if budget.kind != "miou-drop":
        within = [p for p in front if budget.allows(_cost(budget, p), 0.0)]
        return sorted(within, key=lambda point: -point.miou)
    near = [
        point for point in front
        if cost_of(point) < cost_of(pick) and -point.worst_change <= REACH * budget.limit
    ]  # fmt: skip
    return sorted(near, key=cost_of)


def _cost(budget: Budget, point: Point) -> float:
    return point.gmacs if budget.kind == "gmacs" else cost_of(point)


def _judged(to: AdaptedTo, before: Point, adapted: Checkpoint) -> AdaptedPoint:
    search, isr = to.points.search, before.isr
    images = sorted(search.split.every)
    bound = {**to.bound, "checkpoint": adapted.sha256}
    path = adapted.path.with_name(adapted.path.name + _TRIALS)
    data = search.evaluator.data
    with (
        Trials.open(path, bound, isr.places, resume=True) as trials,
        hired(to.spread, adapted, data, to.procedure, ALIGN) as crew,
    ):
        evaluator = Evaluator(adapted.model(), data, to.procedure, ALIGN, trials, hired=crew)
        evaluator.evaluate([isr], images)
        point = to.points.point(isr, trials.matrix([isr], images)[0])
    within = to.budget.allows(_cost(to.budget, point), -point.worst_change)
    return AdaptedPoint(point, before, adapted.path, within)
