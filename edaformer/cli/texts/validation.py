"""A validation as text: the table, what ISR and precision change, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.cli.common import echo, echo_line, print_table, say, say_next

if TYPE_CHECKING:
    from edaformer.engines.validate.validation import Flips, Validation
    from edaformer.evaluation.bootstrap import Interval
    from edaformer.export.bisect import Departure

FITS = {
    "resize": "resized to it, their ratio given up (--fit resize)",
    "pad": "scaled down to fit where they are larger, and padded (--fit pad)",
    "slide": "covered by sliding it over them, overlapping logits averaged (--fit slide)",
}


def print_validation(result: Validation, *, per_class: bool) -> None:
    """All of it, on stdout."""
    padding = f"padded to multiples of {result.align}" if result.align else "as it is"
    size = f"{result.size[0]}x{result.size[1]}"
    echo_line(f"{result.data}, {result.images} images, {size} {padding}")
    if result.protocol != "native":
        echo(f"protocol {result.protocol}")
    if result.letter is not None:
        echo_line(f"{result.fitted} images are of another size: {FITS[result.fit]}")
    echo()
    _print_rows(result)
    if per_class:
        _print_classes(result)
    for line in (*_differences(result), *_flips(result.flips), *_departure(result.departure)):
        echo_line(line)
    if result.finding is not None:
        said = "labels, overruled with --trust-labels" if result.trusted else "LABELS"
        echo_line(f"{said}: {result.finding.text}")
    echo("passed" if not result.failures else "FAILED")


def print_saved(path: Path, artifact: Path | None, data: str | None) -> None:
    """Where the reference is, and what it is for.

    Args:
        path: the reference.
        artifact: what was validated; None: it is not here.
        data: that the device needs beside a reference without pixels.
    """
    say(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
    plan = "MODEL.plan" if artifact is None else artifact.with_suffix(".plan").name
    there = [] if data is None else ["--data", data]
    say_next("edaformer-validate", plan, "--reference", path.name, *there, when="on the device")


def _print_rows(result: Validation) -> None:
    """Short names, so that the table fits a terminal; what they stand for is said below it."""
    print_table(
        ("", "ISR", "mIoU", "mAcc", "aAcc", "agrees"),
        [
            (name, row.isr, *(f"{value:.3f}" for value in figures),
             "" if agreement is None else f"{agreement:.4%}")
            for name, row, agreement in result.rows
            for figures in [(row.score.miou, row.score.macc, row.score.aacc)]
        ],
    )  # fmt: skip
    echo()
    for name, description in result.names.items():
        echo_line(f"{name}: {description.removeprefix('PyTorch ')}")
    echo("agrees: equal labels, with the row above")
    echo()


def _print_classes(result: Validation) -> None:
    columns = ("IoU", "base", "this ISR", "artifact", "ISR", "precision")
    rows = (result.reference_base, result.reference, result.candidate)
    classes = zip(result.classes, *(row.score.iou for row in rows), strict=True)
    print_table(columns, [
        (name, *(f"{value:.2f}" for value in (base, same, own)),
         f"{same - base:+.3f}", f"{own - same:+.3f}")
        for name, base, same, own in classes
    ])  # fmt: skip
    echo("the last two columns: points by which each changes it; minus is worse")
    echo()


def _differences(result: Validation) -> Iterator[str]:
    """What changes mIoU, how sure that is, and where labels differ."""
    spans = result.intervals
    if result.original is not None:
        yield _change("adapting, at base ISR,", result.delta_adapted, spans["delta_adapted"])
    yield _change("ISR", result.delta_isr, spans["delta_isr"])
    yield _change("precision", result.delta_precision, spans["delta_precision"])
    if result.original is not None:
        yield _change("all of it", result.delta_deployed, spans["delta_deployed"])
    if result.letter is not None:
        yield _change("the artifact's size", result.delta_fit, spans["delta_fit"])
    if result.frames is not None:
        yield _change("the whole way from the picture", result.frames.delta, None)
    yield f"worst image agrees on {result.agreement.worst:.4%}"
    if result.agreement.boundary is not None:
        yield f"labels agree on {result.agreement.boundary:.4%} within 3 pixels of boundaries"


def _change(what: str, points: float, spread: Interval | None) -> str:
    sure = "" if spread is None else f", 95 % interval {_span(spread)}"
    return f"{what} changes mIoU by {points:+.3f} points{sure}"


def _flips(flips: Flips) -> Iterator[str]:
    if not flips.flipped or flips.ties is None:
        return
    yield (
        f"{flips.flipped} pixels flipped, {flips.ties} of them rounding ties (top two logits "
        f"within {flips.tolerance:.2g}); margin median {flips.margin_median:.2g}, "
        f"largest {flips.margin_max:.2g}"
    )


def _departure(departure: Departure | None) -> Iterator[str]:
    if departure is None:
        return
    first, largest = departure.first, departure.largest
    yield f"bisect on {departure.image}, {len(departure.differences)} modules:"
    if first is None:
        yield (
            f"  none leaves float32 (allowed: {departure.rule}); {largest.module} comes closest, "
            f"at {largest.share:.0%}"
        )
    else:
        yield (
            f"  {first.module} is the first to leave float32, off by {first.error:.3g} where "
            f"{first.allowed:.3g} is allowed ({departure.rule})"
        )


def _span(spread: Interval) -> str:
    return f"{spread[0]:+.3f} to {spread[1]:+.3f}"
