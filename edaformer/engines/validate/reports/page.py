"""A validation as one HTML page that needs nothing else: verdict and gates first.

The page's text is in ``page.html.jinja``; here is what it is filled with. No script, no font, no
picture from elsewhere, so it can be attached to a release and opened years later.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from edaformer.engines.validate.reports.pictures import hexadecimal, panels
from edaformer.engines.validate.validation import Row, Validation
from edaformer.evaluation.bootstrap import Interval
from edaformer.evaluation.metrics import BAND
from edaformer.media.page import render
from edaformer.media.palette import class_colours

_TEMPLATE = Path(__file__).parent / "page.html.jinja"


def html_report(result: Validation) -> str:
    """The page."""
    colours = class_colours(result.classes, result.palette, len(result.classes))
    return render(
        _TEMPLATE,
        result=result,
        band=BAND,
        differences=_differences(result),
        charts=_charts(result),
        pictures=[(shown, panels(shown, colours)) for shown in result.worst],
        legend=[(result.classes[i], hexadecimal(colours[i])) for i in _labels_in(result)],
        span=_span,
        points=_points,
    )


def _differences(result: Validation) -> list[tuple[str, float, Interval | None]]:
    """What changes mIoU, by how many points, how surely."""
    made = [
        ("ISR", result.delta_isr, result.intervals["delta_isr"]),
        ("export, precision and engine", result.delta_precision,
         result.intervals["delta_precision"]),
    ]  # fmt: skip
    if result.letter is not None:
        made.append(("the artifact's fixed size", result.delta_fit, result.intervals["delta_fit"]))
    if result.frames is not None:
        made.append(("the whole way from the picture", result.frames.delta, None))
    return made


def _charts(result: Validation) -> list[dict[str, Any]]:
    """What changes IoU by class: by how much ISR, and by how much everything after it."""
    gate = next(gate.limit for gate in result.gates if gate.name == "max_miou_change")
    isr = _bars(result, result.delta_iou_isr, result.reference, "delta_iou_isr", least=1.0)
    own = _bars(result, result.delta_iou, result.candidate, "delta_iou", least=gate)
    return [
        {"id": "classes-isr", "what": "ISR", **isr},
        {"id": "classes", "what": "precision", **own},
    ]


def _bars(
    result: Validation, changes: tuple[float, ...], row: Row, name: str, *, least: float
) -> dict[str, Any]:
    """Bars of ``changes``, the largest first, absent classes last.

    Args:
        result: whose classes they are.
        changes: in points, by class.
        row: what they lead to.
        name: of their intervals.
        least: points that half a cell stands for at least, so that next to nothing looks it.
    """
    sizes = [-1.0 if math.isnan(change) else abs(change) for change in changes]
    most = max([least, *sizes, 1e-9])
    bars = [
        {
            "name": result.classes[label],
            "absent": math.isnan(changes[label]),
            "iou": row.score.iou[label],
            "change": changes[label],
            "length": 50 * max(sizes[label], 0.0) / most,
            "interval": result.intervals_iou[name][label],
            "colour": _colour(changes[label], result.intervals_iou[name][label]),
        }
        for label in sorted(range(len(changes)), key=lambda label: -sizes[label])
    ]
    return {"bars": bars, "most": most}


def _colour(change: float, spread: Interval | None) -> str:
    """Grey where the interval holds 0, or there is none: nobody knows that it changed."""
    if spread is None or spread[0] <= 0 <= spread[1]:
        return "unsure"
    return "worse" if change < 0 else "better"


def _labels_in(result: Validation) -> list[int]:
    """The classes that occur in the label maps shown."""
    maps = [m for shown in result.worst for m in (shown.truth, shown.reference, shown.candidate)]
    there = set().union(*(np.unique(one).tolist() for one in maps))
    return [label for label in range(len(result.classes)) if label in there]


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.3f}"


def _span(spread: Interval | None) -> str:
    return "-" if spread is None else f"{spread[0]:+.3f}\N{NO-BREAK SPACE}to {spread[1]:+.3f}"
