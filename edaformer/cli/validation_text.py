"""A validation as text: the table, what ISR and precision change, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.cli.common import echo, print_table, say, say_next

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
    echo(f"{result.data}, {result.images} images, {result.size[0]}x{result.size[1]} {padding}")
    if result.protocol != "native":
        echo(f"protocol {result.protocol}")
    if result.letter is not None:
        echo(f"{result.fitted} images are of another size: {FITS[result.fit]}")
    echo()
    _print_rows(result)
    if per_class:
        _print_classes(result)
    echo(f"ISR changes mIoU by {result.delta_isr:+.3f} points, precision by "
               f"{result.delta_precision:+.3f}; worst image agrees on "
               f"{result.agreement.worst:.4%}")  # fmt: skip
    for line in (*_differences(result), *_flips(result.flips), *_departure(result.departure)):
        echo(line)
    if result.finding is not None:
        said = "labels, overruled with --trust-labels" if result.trusted else "LABELS"
        echo(f"{said}: {result.finding.text}")
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
    rows = [result.reference_base, result.reference, result.candidate]
    agreements = ["", f"{result.agreement_isr.overall:.4%}", f"{result.agreement.overall:.4%}"]
    if result.letter is not None:
        rows, agreements = [*rows, result.letter], [*agreements, ""]
    if result.frames is not None:
        rows += [result.frames.reference, result.frames.candidate]
        agreements += ["", f"{result.frames.agreement.overall:.4%}"]
    print_table(
        ("", "ISR", "mIoU", "mAcc", "aAcc", "agrees with the row above"),
        [
            (row.description, row.isr, *(f"{value:.3f}" for value in figures), agreement)
            for row, agreement in zip(rows, agreements, strict=True)
            for figures in [(row.score.miou, row.score.macc, row.score.aacc)]
        ],
    )
    echo()


def _print_classes(result: Validation) -> None:
    columns = ("class", "base PyTorch", "this ISR", "artifact", "ISR costs", "precision costs")
    rows = (result.reference_base, result.reference, result.candidate)
    classes = zip(result.classes, *(row.score.iou for row in rows), strict=True)
    print_table(columns, [
        (name, *(f"{value:.2f}" for value in (base, same, own)),
         f"{base - same:+.2f}", f"{same - own:+.2f}")
        for name, base, same, own in classes
    ])  # fmt: skip
    echo()


def _differences(result: Validation) -> Iterator[str]:
    """How sure the differences are, and where labels differ."""
    isr, precision, fit = (
        result.intervals[name] for name in ("delta_isr", "delta_precision", "delta_fit")
    )
    if isr is not None and precision is not None:
        yield f"95 % intervals over images: ISR {_span(isr)}, precision {_span(precision)}"
    if result.letter is not None:
        sure = "" if fit is None else f", 95 % interval {_span(fit)}"
        yield f"the artifact's size changes mIoU by {result.delta_fit:+.3f} points{sure}"
    if result.frames is not None:
        yield f"from the picture on mIoU changes by {result.frames.delta:+.3f} points"
    if result.agreement.boundary is not None:
        yield f"labels agree on {result.agreement.boundary:.4%} within 3 pixels of boundaries"


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
