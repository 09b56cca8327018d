"""A tuning as text: the pick and its reason, the front, each place alone.

mIoU and its changes are points; minus is worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edaformer.cli.common import echo, echo_line, print_pairs, print_table

if TYPE_CHECKING:
    from edaformer.engines.tune.result import PartsAlone, Point, Quantised, Tuning
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
        str(pick.setting),
        [
            ("model", result.model),
            ("data", f"{result.data}, {result.images} images at {result.size[0]}x{result.size[1]}"),
            ("budget", result.budget.text),
            ("mIoU", f"{result.base.miou:.3f} -> {pick.miou:.3f}, {pick.change:+.3f} points "
             f"(95 % interval {_span(pick.interval)})"),
            ("halves", held),
            ("GMACs", f"{result.base.gmacs:.2f} -> {pick.gmacs:.2f} ({pick.saving:.1%} saved)"),
            *_eight_bits(result),
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
    if result.quantised is not None:
        echo()
        _print_parts(result.quantised)
    echo()
    _print_places(result)
    for note in result.notes:
        echo_line(f"note: {note}")


def _print_front(result: Tuning) -> None:
    timed, shown = result.across == "latency", result.shown
    across = {"latency": ("ms",), "GMACs": ("GMACs",), "traffic": ("MB", "kernels")}
    print_table(
        ("front and named", "mIoU", "change", "95 % interval", *across[result.across], "saved", ""),
        [
            (
                str(point.setting),
                f"{point.miou:.3f}",
                f"{point.change:+.3f}",
                _span(point.interval),
                *_costs(result, point),
                f"{point.saving:.1%}",
                _marks(result, point),
            )
            for point in shown
        ],
    )
    if result.across == "traffic":
        echo_line("MB: read and written by all kernels; saved: of the multiply-adds")
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


def _print_parts(quantised: Quantised) -> None:
    """At base, each part and all of them."""
    print_table(
        (f"in {quantised.precision} at base", "kernels", "MB", "change", "95 % interval", ""),
        [
            (one.parts, *_beside(one), *_changed(one), "left out" if one.why_not else "")
            for one in quantised.alone
        ],
    )
    for one in quantised.alone:
        if one.why_not is not None:
            echo_line(f"{one.parts}: {one.why_not}")


def _beside(one: PartsAlone) -> tuple[str, str]:
    """Kernels and traffic, FP16's behind the stroke."""
    if one.built is None or one.half is None:
        return "-", "-"
    return (
        f"{one.built.kernels} / {one.half.kernels}",
        f"{one.built.traffic_bytes / 1e6:.1f} / {one.half.traffic_bytes / 1e6:.1f}",
    )


def _changed(one: PartsAlone) -> tuple[str, str]:
    if one.point is None:
        return "-", "-"
    return f"{one.point.change:+.3f}", _span(one.point.interval)


def _eight_bits(result: Tuning) -> list[tuple[str, object]]:
    """Of the pick, and how it was weighed."""
    asked, pick, half = result.quantised, result.pick, result.half
    if asked is None:
        return []
    from edaformer.engines.tune.search.setting import parts_of

    parts = ", ".join(parts_of(pick.setting))
    made: list[tuple[str, object]] = [
        ("precision", f"{pick.precision}: {parts}; the rest fp16" if parts else "fp16")
    ]
    if pick.built is None:
        return made
    kernels, traffic = f"{pick.built.kernels}", f"{pick.built.traffic_bytes / 1e6:.1f} MB"
    if half is not None and half.built is not None and half is not pick:
        kernels += f" where FP16 has {half.built.kernels}"
        traffic += f" where FP16 moves {half.built.traffic_bytes / 1e6:.1f}"
    if result.base.built is not None:
        traffic += f", base in FP16 {result.base.built.traffic_bytes / 1e6:.1f}"
    return [*made, ("kernels", kernels), ("traffic", traffic), ("cost is", asked.cost)]


def _costs(result: Tuning, point: Point) -> tuple[str, ...]:
    """What the front is drawn over."""
    if result.across == "traffic" and point.built is not None:
        return f"{point.built.traffic_bytes / 1e6:.1f}", str(point.built.kernels)
    return (_latency(result, point) if result.across == "latency" else f"{point.gmacs:.3f}",)


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
    behind = "" if point.setting in {one.setting for one in result.front} else "*"
    marks = [f"{point.name}{behind}"] if point.name else []
    marks += ["<- pick"] if point.setting == result.pick.setting else []
    return ", ".join(marks)


def _span(spread: Interval | None) -> str:
    return "-" if spread is None else f"{spread[0]:+.2f} to {spread[1]:+.2f}"
