"""The front as a picture: a PNG through Matplotlib, and a page that needs nothing else."""

from __future__ import annotations

import io
import math
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
_WIDTH, _HEIGHT = 360, 300  # of the page's plot, in its own units: a phone's
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 40
_TICKS = 5


def front_png(result: Tuning) -> bytes:
    """The plot, 1200 by 825 pixels.

    Raises:
        MissingError: without Matplotlib.
    """
    require("matplotlib", "plots")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    front = result.front
    axes.plot(*_xy(result, front), "o-", color="#2b6cb0", label="front", markersize=4)
    for point in result.named:
        axes.plot(*_xy(result, [point]), "D", color="#60646c", markersize=6)
        axes.annotate(str(point.name), (x_of(result, point), point.miou),
                      textcoords="offset points", xytext=(8, -4), fontsize=9)  # fmt: skip
    axes.plot(*_xy(result, [result.pick]), "*", color="#c62a2f", markersize=16,
              label=f"pick: {result.pick.isr}")  # fmt: skip
    _draw_budget(axes, result)
    axes.set_xlabel(x_label(result))
    axes.set_ylabel("mIoU, points")
    axes.margins(x=0.12)
    axes.set_ylim(_lowest(result), None)
    title = in_one_line(f"{result.model}, {result.data}, {result.images} images")
    axes.set_title(title, fontsize=10, parse_math=False)  # a $ in a name is no formula
    axes.grid(visible=True, color="#e6e8eb")
    axes.legend(loc="lower right")
    file = io.BytesIO()
    figure.savefig(file, format="png", backend="agg")
    return file.getvalue()


def front_html(result: Tuning) -> str:
    """The page: pick, plot, table, sensitivity."""
    return render(_TEMPLATE, result=result, plot=_Plot.of(result), span=span, mb=megabytes)


def x_label(result: Tuning) -> str:
    """What is drawn across, and whether it was measured."""
    device = result.device
    if device is None:
        return "GMACs of a frame"
    return f"latency, ms, {device.source}: {device.label}"


def x_of(result: Tuning, point: Point) -> float:
    """GMACs, or milliseconds on a device."""
    return cost_of(point) * (1 if result.device is None else 1e3)


def span(spread: Interval | None) -> str:
    """``-0.10 to +0.20``."""
    return "-" if spread is None else f"{spread[0]:+.2f} to {spread[1]:+.2f}"


def megabytes(count: int) -> str:
    """10^6 bytes."""
    return f"{count / 1e6:.1f}"


@dataclass(frozen=True)
class _Plot:
    """The page's plot, in its own units."""

    line: str  # the front, as SVG's points
    dots: tuple[tuple[float, float, Point], ...]
    named: tuple[tuple[float, float, Point], ...]
    star: tuple[float, float]
    across: tuple[tuple[float, str], ...]  # ticks
    up: tuple[tuple[float, str], ...]
    budget: tuple[str, float] | None  # "across" or "up", and where
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = _HEIGHT - _BOTTOM
    label: str = ""

    @classmethod
    def of(cls, result: Tuning) -> _Plot:
        """Scaled so that what is of interest fills it."""
        low = _lowest(result)
        shown = [point for point in result.shown if point.miou >= low]
        xs, ys = ([f(point) for point in shown] for f in (lambda p: x_of(result, p), _miou))
        x, y = _Axis.over(xs, _LEFT, _WIDTH - _RIGHT), _Axis.over(ys, _HEIGHT - _BOTTOM, _TOP)

        def place(point: Point) -> tuple[float, float]:
            return x.at(x_of(result, point)), y.at(point.miou)

        front = [point for point in result.front if point.miou >= low]
        return cls(
            line=" ".join("{:.1f},{:.1f}".format(*place(point)) for point in front),
            dots=tuple((*place(point), point) for point in front),
            named=tuple((*place(point), point) for point in result.named if point.miou >= low),
            star=place(result.pick),
            across=x.ticks,
            up=y.ticks,
            budget=_budget(result, x, y),
            label=x_label(result),
        )


@dataclass(frozen=True)
class _Axis:
    """Values to the plot's units."""

    least: float
    most: float
    start: float
    end: float

    @classmethod
    def over(cls, values: list[float], start: float, end: float) -> _Axis:
        """A little more than their range."""
        room = 0.06 * (max(values) - min(values)) or 0.01
        return cls(min(values) - room, max(values) + room, start, end)

    def at(self, value: float) -> float:
        """Where it is."""
        share = (value - self.least) / (self.most - self.least)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """About five round values."""
        rough = (self.most - self.least) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(unit for unit in (1, 2, 5, 10) if unit * power >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        first, last = math.ceil(self.least / step), math.floor(self.most / step)
        return tuple((self.at(n * step), f"{n * step:.{digits}f}") for n in range(first, last + 1))


def _budget(result: Tuning, x: _Axis, y: _Axis) -> tuple[str, float] | None:
    """The budget's line, where it can be drawn over these axes."""
    limit = _budget_line(result)
    if limit is None:
        return None
    direction, value = limit
    axis = x if direction == "up" else y
    return (direction, axis.at(value)) if axis.least <= value <= axis.most else None


def _budget_line(result: Tuning) -> tuple[str, float] | None:
    """``across`` at an mIoU, or ``up`` at a cost; None where the axis is of another kind."""
    budget = result.budget
    if budget.kind == "miou-drop":
        return "across", result.base.miou - budget.limit
    if (budget.kind == "latency") != (result.device is not None):
        return None
    return "up", budget.limit * (1 if result.device is None else 1e3)


def _draw_budget(axes: Any, result: Tuning) -> None:
    limit = _budget_line(result)
    if limit is not None:
        direction, value = limit
        draw = axes.axhline if direction == "across" else axes.axvline
        draw(value, color="#c62a2f", linestyle="--", linewidth=1, label=result.budget.text)


def _lowest(result: Tuning) -> float:
    """The front's far end loses more than anybody wants to see to scale."""
    line = _budget_line(result)
    lows = [point.miou for point in (*result.named, result.pick)]
    lows += [line[1]] if line is not None and line[0] == "across" else []
    top = max(point.miou for point in result.shown)
    return min(lows) - (_BELOW * (top - min(lows)) or _BELOW)


def _miou(point: Point) -> float:
    return point.miou


def _xy(result: Tuning, points: Any) -> tuple[list[float], list[float]]:
    return [x_of(result, point) for point in points], [point.miou for point in points]
