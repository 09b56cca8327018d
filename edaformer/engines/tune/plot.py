"""The front as a picture: a PNG through Matplotlib, and a page that needs nothing else.

Both draw one Plot: the same axes, ticks, points and colours.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.engines.tune.result import Point, Tuning, cost_of
from edaformer.errors import require
from edaformer.evaluation.bootstrap import Interval
from edaformer.media.page import render
from edaformer.printable import in_one_line

_TEMPLATE = Path(__file__).parent / "front.html.jinja"
_BELOW = 0.3  # of the range of interest, that the plot still shows below it
_TICKS = 5
_EDGE = 0.8  # of the width; names right of it are written to the left
FRONT, PICK, NAMED, GRID = "#2b6cb0", "#c62a2f", "#60646c", "#e6e8eb"
ADAPTED, EIGHT = "#2f855a", "#b7791f"


def front_png(result: Tuning) -> bytes:
    """The page's plot, 1080 by 900 pixels.

    Raises:
        MissingError: without Matplotlib.
    """
    require("matplotlib", "plots")
    from matplotlib.figure import Figure

    plot = Plot.of(result)
    figure = Figure(figsize=(7.2, 6), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.plot(*_across([(x, y) for x, y, _ in plot.dots]), "o-", color=FRONT, markersize=4)
    axes.plot(*_across([(x, y) for x, y, _ in plot.named]), "s", color=NAMED, markersize=6)
    axes.plot(*plot.pick, "o", color=PICK, markersize=11, fillstyle="none", markeredgewidth=2)
    axes.plot(*_across([(x, y) for x, y, _ in plot.adapted]), "D-", color=ADAPTED, markersize=5)
    axes.plot(*_across([(x, y) for x, y, _ in plot.eight]), "^", color=EIGHT, markersize=7)
    for x, y, text, to_right, is_pick in plot.labels:
        axes.annotate(
            text, (x, y), color=PICK if is_pick else NAMED, fontsize=9, parse_math=False,
            ha="left" if to_right else "right", textcoords="offset points",
            xytext=(7 if to_right else -7, -13),  # below the front, which ascends
        )  # fmt: skip
    if plot.budget is not None:
        draw = axes.axhline if plot.budget[0] == "across" else axes.axvline
        draw(plot.budget[1], color=PICK, linestyle="--", linewidth=1)
    axes.set_xlim(plot.x.least, plot.x.most)
    axes.set_ylim(plot.y.least, plot.y.most)
    axes.set_xticks(*_across(plot.x.ticks))
    axes.set_yticks(*_across(plot.y.ticks))
    axes.set_xlabel(in_one_line(plot.label), parse_math=False)
    axes.set_ylabel("mIoU, points")
    title = in_one_line(f"{result.model}, {result.data}, {result.images} images")
    said = plot.said.replace("; ", ";\n", 1)  # a setting in eight bits is long
    axes.set_title(f"{title}\n{said}", fontsize=10, parse_math=False)  # a $ is no formula
    axes.grid(visible=True, color=GRID)
    file = io.BytesIO()
    figure.savefig(file, format="png", backend="agg")
    return file.getvalue()


def front_html(result: Tuning) -> str:
    """The page: pick, plot, table, sensitivity."""
    canvas = _Canvas(Plot.of(result))
    return render(_TEMPLATE, result=result, canvas=canvas, span=span, mb=megabytes)


def x_label(result: Tuning) -> str:
    """What is drawn across, and whether it was measured."""
    device = result.device
    if result.across == "traffic":
        return "MB that all kernels read and write, by the builder's layer table"
    if device is None:
        return "GMACs of a frame"
    return f"latency, ms, {device.source}: {device.label}"


def x_of(result: Tuning, point: Point) -> float:
    """GMACs, milliseconds on a device, or MB moved."""
    return cost_of(point) * {"GMACs": 1, "latency": 1e3, "traffic": 1e-6}[result.across]


def span(spread: Interval | None) -> str:
    """``-0.10 to +0.20``."""
    return "-" if spread is None else f"{spread[0]:+.2f} to {spread[1]:+.2f}"


def megabytes(count: int) -> str:
    """10^6 bytes."""
    return f"{count / 1e6:.1f}"


@dataclass(frozen=True)
class Plot:
    """What page and picture draw alike, in the axes' own units."""

    x: Axis
    y: Axis
    dots: tuple[tuple[float, float, Point], ...]  # the front, as a line too
    eight: tuple[tuple[float, float, Point], ...]  # those of it in eight bits
    named: tuple[tuple[float, float, Point], ...]
    adapted: tuple[tuple[float, float, Point], ...]  # of other weights, as a line too
    pick: tuple[float, float]
    labels: tuple[tuple[float, float, str, bool, bool], ...]  # where; to its right; the pick's
    budget: tuple[str, float] | None  # "across" or "up", and where, if it is within the axes
    label: str  # of the x axis
    said: str  # what the dashed line and the ring are

    @classmethod
    def of(cls, result: Tuning) -> Plot:
        """Scaled so that what is of interest fills it."""
        low = _lowest(result)
        others = [one.point for one in result.adapted]
        shown = [point for point in (*result.shown, *others) if point.miou >= low]
        x = Axis.over([x_of(result, point) for point in shown])
        y = Axis.over([point.miou for point in shown])

        def placed(points: Iterable[Point]) -> tuple[tuple[float, float, Point], ...]:
            return tuple((x_of(result, p), p.miou, p) for p in points if p.miou >= low)

        limit = _budget_line(result)
        if limit is not None:
            axis = y if limit[0] == "across" else x
            limit = limit if axis.least <= limit[1] <= axis.most else None
        dashed = "" if limit is None else f"; dashed: {result.budget.text}"
        return cls(
            x=x,
            y=y,
            dots=placed(result.front),
            eight=placed(point for point in result.front if point.precision != "fp16"),
            named=placed(result.named),
            adapted=placed(sorted(others, key=cost_of)),
            pick=(x_of(result, result.pick), result.pick.miou),
            labels=_labels(result, low, x),
            budget=limit,
            label=x_label(result),
            said=f"pick: {result.pick.setting}{dashed}"
            f"{'; triangles: in eight bits' if result.quantised else ''}"
            f"{'; diamonds: adapted' if others else ''}",
        )


def _labels(
    result: Tuning, low: float, x: Axis
) -> tuple[tuple[float, float, str, bool, bool], ...]:
    """The named settings' and the pick's, which may be one of them."""
    made = []
    for point in {one.setting: one for one in (result.pick, *result.named)}.values():
        is_pick = point.setting == result.pick.setting
        text = ", ".join([*([point.name] if point.name else []), *(["pick"] if is_pick else [])])
        at = x_of(result, point)
        to_right = at < x.least + _EDGE * (x.most - x.least)
        if point.miou >= low:
            made.append((at, point.miou, text, to_right, is_pick))
    return tuple(made)


@dataclass(frozen=True)
class Axis:
    """A range of values, a little more than what is drawn."""

    least: float
    most: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Axis:
        """What holds ``values``."""
        room = 0.06 * (max(values) - min(values)) or 0.01
        return cls(min(values) - room, max(values) + room)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """About five round values."""
        rough = (self.most - self.least) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(unit for unit in (1, 2, 5, 10) if unit * power >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        first, last = math.ceil(self.least / step), math.floor(self.most / step)
        return tuple((n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1))


@dataclass(frozen=True)
class _Canvas:
    """Where the page draws: an SVG of its own units, a phone's width."""

    plot: Plot
    width: int = 360
    height: int = 300
    left: int = 44
    right: int = 350
    top: int = 14
    bottom: int = 260

    def x(self, value: float) -> float:
        """Across."""
        return _between(value, self.plot.x, self.left, self.right)

    def y(self, value: float) -> float:
        """Down."""
        return _between(value, self.plot.y, self.bottom, self.top)

    @property
    def line(self) -> str:
        """The front, as SVG's points."""
        return self._points(self.plot.dots)

    @property
    def adapted(self) -> str:
        """The adapted ones, likewise."""
        return self._points(self.plot.adapted)

    def _points(self, dots: Iterable[tuple[float, float, Point]]) -> str:
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y, _ in dots)


def _between(value: float, axis: Axis, start: float, end: float) -> float:
    share = (value - axis.least) / (axis.most - axis.least)
    return round(start + share * (end - start), 1)


def _budget_line(result: Tuning) -> tuple[str, float] | None:
    """``across`` at an mIoU, or ``up`` at a cost; None where the axis is of another kind."""
    budget = result.budget
    if budget.kind == "miou-drop":
        return "across", result.base.miou - budget.limit
    if (budget.kind == "latency") != (result.device is not None):
        return None
    return "up", budget.limit * (1 if result.device is None else 1e3)


def _lowest(result: Tuning) -> float:
    """The front's far end loses more than anybody wants to see to scale."""
    line = _budget_line(result)
    lows = [point.miou for point in (*result.named, result.pick)]
    lows += [line[1]] if line is not None and line[0] == "across" else []
    top = max(point.miou for point in result.shown)
    return min(lows) - (_BELOW * (top - min(lows)) or _BELOW)


def _across(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Pairs as two lists."""
    return [first for first, _ in pairs], [second for _, second in pairs]
