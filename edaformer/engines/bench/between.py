"""Two records of one machine: what changed between them, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Told = Mapping[str, Any]
_STATE = (
    ("power_mode", "power mode"),
    ("gpu_mhz_limits", "GPU clock limits, MHz"),
    ("cpu_governor", "CPU governor"),
)  # fmt: skip
_MACHINE = ("driver", "gpu", "jetson", "cpu", "packages")


def changed(before: Told, now: Told) -> tuple[str, ...]:
    """Why figures of two records, as ``Record.to_json`` gives them, are not to be compared.

    Clocks at a moment are not in it: they move, and the record marks those that were not locked.
    """
    return (*_state(before, now), *_machine(before, now), *_throttled(before, now))


def _state(before: Told, now: Told) -> Iterator[str]:
    for name, shown in _STATE:
        then, since = (record.get("state_after", {}).get(name) for record in (before, now))
        if then != since:
            yield f"{shown}: {_shown(then)} then, {_shown(since)} now"


def _machine(before: Told, now: Told) -> Iterator[str]:
    then, since = before.get("machine", {}), now.get("machine", {})
    for name in _MACHINE:
        if then.get(name) != since.get(name):
            yield f"{name}: {_shown(then.get(name))} then, {_shown(since.get(name))} now"


def _throttled(before: Told, now: Told) -> Iterator[str]:
    then, since = (record.get("state_after", {}).get("throttling") for record in (before, now))
    if bool(then) != bool(since):
        yield f"throttling: {_shown(then)} then, {_shown(since)} now"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return " to ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
