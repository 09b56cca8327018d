"""The fewest steps, then the fewest bytes, that still come to the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.case import Outcome, Step, lay_copy, read, try_steps
from tests.hostile.reader import Reader

_SECONDS = 10  # a find may take this long to be made smaller
_SHOWN = 8


def minimised(reader: Reader, base: Path, todo: Sequence[Step], work: Path, found: Outcome) -> str:
    """In words: which steps, and what differs from the sound file."""
    end = time.monotonic() + _SECONDS
    kept = list(todo)
    for step in todo:
        fewer = [one for one in kept if one is not step]
        if fewer and time.monotonic() < end:
            outcome = try_steps(reader, base, fewer, work)
            kept = fewer if outcome.cause == found.cause else kept
    lay_copy(base, work)
    for step in kept:
        step.apply(work)
    damaged = {step.file: (work / step.file).read_bytes() for step in kept}
    told = []
    for name, data in list(damaged.items()):
        old = (base / name).read_bytes()
        if len(old) == len(data):
            _fewest(reader, base, work, damaged, name, found, end)
        told.append(f"{name} {_difference(old, damaged[name])}")
    return f"{', '.join(map(str, kept))}; {'; '.join(told)}"


def _fewest(
    reader: Reader, base: Path, work: Path, damaged: dict[str, bytes], name: str, found: Outcome,
    end: float,
) -> None:  # fmt: skip
    """Halves, quarters and so on of what differs are put right again, as long as it still fails."""
    old, data = (base / name).read_bytes(), damaged[name]
    wrong = [at for at in range(len(old)) if old[at] != data[at]]
    width = len(wrong)
    while width > 1 and time.monotonic() < end:
        width = (width + 1) // 2
        for start in range(0, len(wrong), width):
            tried = bytearray(data)
            for at in wrong[start : start + width]:
                tried[at] = old[at]
            lay_copy(base, work)
            for other, content in (damaged | {name: bytes(tried)}).items():
                (work / other).write_bytes(content)
            if read(reader, base, work).cause == found.cause:
                data = bytes(tried)
        wrong = [at for at in wrong if old[at] != data[at]]
        width = min(width, len(wrong))
    damaged[name] = data


def _difference(old: bytes, new: bytes) -> str:
    if len(old) != len(new):
        least = min(len(old), len(new))
        start = next((at for at in range(least) if old[at] != new[at]), least)
        return f"{len(old)} to {len(new)} bytes, from {start} on: {new[start : start + 40]!r}"
    wrong = [at for at in range(len(old)) if old[at] != new[at]]
    shown = ", ".join(f"{at}: {old[at]:02x} to {new[at]:02x}" for at in wrong[:_SHOWN])
    return f"{len(wrong)} bytes: {shown}"
