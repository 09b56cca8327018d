"""A validation as one HTML page that needs nothing else: verdict and gates first.

The page's text is in ``report.html.jinja``; here is what it is filled with. No script, no font, no
picture from elsewhere, so it can be attached to a release and opened years later.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from edaformer.engines.validate.pictures import hexadecimal, panels
from edaformer.engines.validate.validation import Validation
from edaformer.evaluation.bootstrap import Interval
from edaformer.evaluation.metrics import BAND
from edaformer.media.page import render
from edaformer.media.palette import class_colours

_TEMPLATE = Path(__file__).parent / "report.html.jinja"


def html_report(result: Validation) -> str:
    """The page."""
    colours = class_colours(result.classes, result.palette, len(result.classes))
    return render(
        _TEMPLATE,
        result=result,
        band=BAND,
        rows=_rows(result),
        differences=_differences(result),
        bars=_bars(result),
        pictures=[(shown, panels(shown, colours)) for shown in result.worst],
        legend=[(result.classes[i], hexadecimal(colours[i])) for i in _labels_in(result)],
        span=_span,
        points=_points,
    )


def _rows(result: Validation) -> list[tuple[Any, str]]:
    """The table's rows, and what each agrees with the one above."""
    rows: list[tuple[Any, str]] = [
        (result.reference_base, ""),
        (result.reference, f"{result.agreement_isr.overall:.4%}"),
        (result.candidate, f"{result.agreement.overall:.4%}"),
    ]
    if result.letter is not None:
        rows.append((result.letter, ""))
    if result.frames is not None:
        rows.append((result.frames.reference, ""))
        rows.append((result.frames.candidate, f"{result.frames.agreement.overall:.4%}"))
    return rows


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


def _bars(result: Validation) -> list[dict[str, Any]]:
    """What precision changes by class, the largest change first; absent classes last."""
    changed = result.delta_iou
    sizes = [abs(value) for value in changed if not math.isnan(value)]
    longest = max([*sizes, 1e-9])
    order = sorted(
        range(len(changed)), key=lambda i: -1.0 if math.isnan(changed[i]) else abs(changed[i])
    )[::-1]
    return [
        {
            "name": result.classes[i],
            "absent": math.isnan(changed[i]),
            "iou": result.candidate.score.iou[i],
            "change": changed[i],
            "length": 0.0 if math.isnan(changed[i]) else 50 * abs(changed[i]) / longest,
            "interval": result.intervals_iou[i],
        }
        for i in order
    ]


def _labels_in(result: Validation) -> list[int]:
    """The classes that occur in the label maps shown."""
    maps = [m for shown in result.worst for m in (shown.truth, shown.reference, shown.candidate)]
    there = set().union(*(np.unique(one).tolist() for one in maps))
    return [label for label in range(len(result.classes)) if label in there]


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.3f}"


def _span(spread: Interval | None) -> str:
    return "-" if spread is None else f"{spread[0]:+.3f}\N{NO-BREAK SPACE}to {spread[1]:+.3f}"
