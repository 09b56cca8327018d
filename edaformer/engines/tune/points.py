"""From trials to points: what is shown of a setting, and which of them are the front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edaformer.engines.tune.device.costs import Costs
from edaformer.engines.tune.device.roofline import memory_bytes, weights_bytes
from edaformer.engines.tune.result import Point, Sensitivity, Source, cost_of
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.search.search import Search, mean_iou, regret
from edaformer.evaluation.bootstrap import Bootstrap, Interval, interval
from edaformer.isr import EDAFORMER, ISR, Places

HEADLINE = ISR((16, 8, 4, 2), (2, 4, 8))  # of the paper's 61 % at 1024x2048


def names_of(places: Places) -> dict[ISR, str]:
    """The settings that are always shown; base is the first."""
    named = {places.base: "base"} | {places.isr(ratios): name for name, ratios in places.named}
    return named | ({HEADLINE: "paper, 61 %"} if places == EDAFORMER else {})


@dataclass(frozen=True)
class Points:
    """Makes them, of settings that were tried on all images."""

    search: Search
    costs: Costs

    def point(self, isr: ISR) -> Point:
        """All that is shown of a setting."""
        split, costs = self.search.split, self.costs
        whole = (costs.checkpoint.variant, costs.checkpoint.num_classes)
        gmacs, measured, modelled = costs.gmacs(isr), costs.measured.get(isr), costs.modelled(isr)
        return Point(
            isr=isr,
            miou=float(self.search.miou([isr], split.every)[0]),
            change=self._change(isr, split.every),
            change_tuned=self._change(isr, split.tuned),
            change_held=self._change(isr, split.held) if split.held else None,
            interval=self._interval(isr),
            gmacs=gmacs,
            saving=1 - gmacs / costs.gmacs(costs.base),
            latency=modelled if measured is None else measured.seconds,
            latency_source=_source(modelled, measured),
            engine_bytes=weights_bytes(*whole) if measured is None else measured.file_bytes,
            engine_source="modelled" if measured is None else "measured",
            memory_bytes=memory_bytes(*whole, costs.padded, isr),
            name=names_of(isr.places).get(isr),
        )

    def _change(self, isr: ISR, images: Sequence[int]) -> float:
        base, own = self.search.miou([self.costs.base, isr], images)
        return float(own - base)

    def _interval(self, isr: ISR) -> Interval | None:
        """Of the change over all images, as edaformer-validate has it; None for a single image."""
        every = sorted(self.search.split.every)
        counts = self.search.evaluator.trials.matrix([self.costs.base, isr], every).astype(np.int64)
        _, images, figures, classes = counts.shape
        if images < 2:
            return None
        bootstrap = Bootstrap(2 * figures * classes)
        for at in range(images):
            bootstrap.add(counts[:, at].ravel())
        base, own = mean_iou(bootstrap.replicates().reshape(-1, 2, figures, classes)).T
        return interval(own - base)


def front_of(points: Sequence[Point]) -> tuple[Point, ...]:
    """What no other beats in cost and mIoU, by descending cost."""
    cost = np.array([cost_of(point) for point in points])
    behind = regret(cost, np.array([point.miou for point in points]))
    front = [point for point, one in zip(points, behind, strict=True) if one <= 0]
    return tuple(sorted(front, key=lambda point: (-cost_of(point), -point.miou)))


def sensitivities(points: Iterable[Point]) -> tuple[Sensitivity, ...]:
    """Of settings that differ from base in one place, by place and ratio."""
    made = []
    for point in points:
        pairs = enumerate(zip(point.isr.places.all, point.isr.ratios, strict=True))
        at, name, ratio = next((at, p.name, own) for at, (p, own) in pairs if own != p.base)
        made.append((at, Sensitivity(name, ratio, point)))
    return tuple(one for _, one in sorted(made, key=lambda pair: (pair[0], pair[1].ratio)))


def _source(modelled: float | None, measured: Latency | None) -> Source | None:
    if measured is not None:
        return "measured"
    return None if modelled is None else "modelled"
