"""Who descends from a process, by Linux's /proc."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def descendants(of: int) -> dict[int, str]:
    """Living processes below it, with their command lines."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = _fields(folder)[:2]
            if state not in "ZX":
                parents[int(folder.name)] = int(parent)
    found: dict[int, str] = {}
    for pid in parents:
        above = pid
        while above in parents and above != of:
            above = parents[above]
        if above == of and pid != of:
            found[pid] = _line(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether it has not ended, waited for or not."""
    try:
        return _fields(Path(f"/proc/{pid}"))[0] not in "ZX"
    except OSError:
        return False


def _fields(folder: Path) -> list[str]:
    return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120].strip()
    except OSError:
        return "ended"
