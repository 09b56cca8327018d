"""A tuning as text: the pick and its reason, the front, each place alone.

mIoU and its changes are points; minus is worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edaformer.cli.common import echo, echo_line, print_pairs, print_table

if TYPE_CHECKING:
    from edaformer.engines.tune.result import Point, Tuning
    from edaformer.evaluation.bootstrap import Interval

_SIGNS = {"*": "behind the front: another is no dearer and better", "~": "modelled"}


def print_tuning(result: Tuning) -> None:
    """All of it, on stdout."""
    pick, device = result.pick, result.device
    latency = None
    if device is not None and pick.latency is not None and result.base.latency is not None:
        latency = (
            f"{result.base.latency * 1e3:.2f} -> {pick.latency * 1e3:.2f} ms, {pick.latency_source}"
        )
    held = None
    if pick.change_held is not None:
        held = (
            f"{pick.change_tuned:+.3f} on the {result.tuned_on} images tuned on, "
            f"{pick.change_held:+.3f} on the {result.held_out} held out"
        )
    print_pairs(
        str(pick.isr),
        [
            ("model", result.model),
            ("data", f"{result.data}, {result.images} images at {result.size[0]}x{result.size[1]}"),
            ("budget", result.budget.text),
            ("mIoU", f"{result.base.miou:.3f} -> {pick.miou:.3f}, {pick.change:+.3f} points "
             f"(95 % interval {_span(pick.interval)})"),
            ("halves", held),
            ("GMACs", f"{result.base.gmacs:.2f} -> {pick.gmacs:.2f} ({pick.saving:.1%} saved)"),
            ("latency", latency),
            ("device", None if device is None else device.label),
            ("latency is", None if device is None else f"{device.source}: {device.how}"),
            ("engine", f"{pick.engine_bytes / 1e6:.1f} MB, {pick.engine_source}"),
            ("memory", _memory(result)),
            ("why", result.reason),
            ("tried", f"{result.trials} of {result.settings} settings, {result.evaluations} times "
             f"on an image, {result.seconds:.0f} s"),
        ],
    )  # fmt: skip
    echo()
    _print_front(result)
    if result.adapted:
        echo()
        _print_adapted(result)
    echo()
    _print_places(result)
    for note in result.notes:
        echo_line(f"note: {note}")


def _print_front(result: Tuning) -> None:
    timed, shown = result.device is not None, result.shown
    across = "ms" if timed else "GMACs"
    print_table(
        ("front and named", "mIoU", "change", "95 % interval", across, "saved", ""),
        [
            (
                str(point.isr),
                f"{point.miou:.3f}",
                f"{point.change:+.3f}",
                _span(point.interval),
                _latency(result, point) if timed else f"{point.gmacs:.3f}",
                f"{point.saving:.1%}",
                _marks(result, point),
            )
            for point in shown
        ],
    )
    marks = " ".join(_marks(result, point) for point in shown)
    for sign, meaning in _SIGNS.items():
        if sign in marks or (timed and any(sign in _latency(result, point) for point in shown)):
            echo_line(f"{sign} {meaning}")


def _print_adapted(result: Tuning) -> None:
    print_table(
        ("adapted to it", "mIoU", "before", "change", "95 % interval", "saved", ""),
        [
            (str(one.point.isr), f"{one.point.miou:.3f}", f"{one.before.miou:.3f}",
             f"{one.point.change:+.3f}", _span(one.point.interval), f"{one.point.saving:.1%}",
             "within" if one.is_within else "")
            for one in result.adapted
        ],
    )  # fmt: skip
    echo_line("change: against the original at base; within: the budget allows it")


def _print_places(result: Tuning) -> None:
    print_table(
        ("one place alone", "ratio", "change", "95 % interval", "saved"),
        [
            (place.place, str(place.ratio), f"{place.point.change:+.3f}",
             _span(place.point.interval), f"{place.point.saving:.1%}")
            for place in result.sensitivity
        ],
    )  # fmt: skip


def _memory(result: Tuning) -> str:
    needed = f"{result.pick.memory_bytes / 1e6:.1f} MB for weights and activations, modelled"
    device = result.device
    if device is None or device.memory_bytes is None:
        return needed
    return f"{needed}; the device has {device.memory_bytes / 1e9:.0f} GB"


def _latency(result: Tuning, point: Point) -> str:
    if point.latency is None:
        return "-"
    assert result.device is not None
    sign = "" if point.latency_source == result.device.source else "~"
    return f"{sign}{point.latency * 1e3:.2f}"


def _marks(result: Tuning, point: Point) -> str:
    behind = "" if point.isr in {one.isr for one in result.front} else "*"
    marks = [f"{point.name}{behind}"] if point.name else []
    marks += ["<- pick"] if point.isr == result.pick.isr else []
    return ", ".join(marks)


def _span(spread: Interval | None) -> str:
    return "-" if spread is None else f"{spread[0]:+.2f} to {spread[1]:+.2f}"
