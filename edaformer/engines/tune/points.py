"""From trials to points: what is shown of a setting, and which of them are the front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.tune.device.costs import Costs
from edaformer.engines.tune.device.roofline import memory_bytes, weights_bytes
from edaformer.engines.tune.result import Point, Sensitivity, Source, cost_of
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.search.search import Search, mean_iou, regret
from edaformer.engines.tune.search.setting import Setting, isr_of
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

    def point(self, setting: Setting, counts: NDArray[np.float64] | None = None) -> Point:
        """All that is shown of a setting.

        Args:
            setting: an ISR, or one with parts in eight bits.
            counts: (images, 3, classes) of other weights at it; None: its trials.
        """
        split, costs = self.search.split, self.costs
        pair = self.search.evaluator.trials.matrix([costs.base, setting], sorted(split.every))
        if counts is not None:
            pair[1] = counts
        whole = (costs.checkpoint.variant, costs.checkpoint.num_classes)
        gmacs, modelled = costs.gmacs(setting), costs.modelled(setting)
        measured, isr = costs.measured.get(setting), isr_of(setting)
        return Point(
            setting=setting,
            miou=float(mean_iou(pair[1].sum(axis=0))),
            change=_change(pair),
            change_tuned=_change(pair[:, list(split.tuned)]),
            change_held=_change(pair[:, list(split.held)]) if split.held else None,
            interval=_interval(pair),
            gmacs=gmacs,
            saving=1 - gmacs / costs.gmacs(costs.base),
            latency=modelled if measured is None else measured.seconds,
            latency_source=_source(modelled, measured),
            engine_bytes=weights_bytes(*whole) if measured is None else measured.file_bytes,
            engine_source="modelled" if measured is None else "measured",
            memory_bytes=memory_bytes(*whole, costs.padded, isr),
            name=names_of(isr.places).get(isr) if setting == isr else None,
            built=costs.built.get(setting),
        )


def _change(pair: NDArray[np.float64]) -> float:
    """Of (base and another, images, 3, classes): points of mIoU over the images' sum."""
    base, own = mean_iou(pair.sum(axis=1))
    return float(own - base)


def _interval(pair: NDArray[np.float64]) -> Interval | None:
    """Of the change over all images, as edaformer-validate has it; None for a single image."""
    _, images, figures, classes = pair.shape
    if images < 2:
        return None
    bootstrap = Bootstrap(2 * figures * classes)
    for at in range(images):
        bootstrap.add(at, pair[:, at].astype(np.int64).ravel())
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
