"""How many cores this process may use: those it may run on, and no more than its container's quota.

PyTorch and ONNX Runtime count the machine's. A container on 64 cores with a quota of two then has
64 threads that are stopped for most of every period (CFS bandwidth control,
https://docs.kernel.org/scheduler/sched-bwc.html).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_TOPOLOGY = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True)
class _Hierarchy:
    """A mounted hierarchy of control groups, and this process's group in it."""

    mount: Path
    group: PurePosixPath  # below the mount
    unified: bool  # cgroup v2

    def groups(self) -> Iterator[Path]:
        """Its group, and every one that holds it, up to the mount."""
        yield from (self.mount / part for part in (self.group, *self.group.parents))


def usable(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy, at least one.

    The least of the cores it may be scheduled on, hyper-threads of one core counted once, as
    PyTorch and ONNX Runtime count them; and of the quota of its control group and all above it,
    rounded up.

    Args:
        root: of the file system that describes the machine.
    """
    limit, most = quota(root), _physical(root)
    return most if limit is None else max(1, min(most, math.ceil(limit)))


def quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the control groups give; None where there is no limit.

    Both versions are looked at, as systems with both have them; the least counts.
    """
    limits = [
        limit for hierarchy in _hierarchies(root) for group in hierarchy.groups()
        if (limit := _limit(group, unified=hierarchy.unified)) is not None
    ]  # fmt: skip
    return min(limits, default=None)


def _physical(root: Path) -> int:
    """Cores to be scheduled on; processors of which the system does not say so count as one."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    return len({_siblings(root, processor) for processor in allowed})


def _siblings(root: Path, processor: int) -> str:
    return _read(root / _TOPOLOGY.format(processor)) or str(processor)


def _limit(group: Path, *, unified: bool) -> float | None:
    """In cores; cgroup-v2.rst: cpu.max is ``max 100000`` or ``50000 100000``; v1: -1 is none."""
    if unified:
        content = _read(group / "cpu.max")
    else:
        content = f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
    parts = content.split()
    with suppress(ValueError):  # max, or nothing there
        runtime, period = (int(part) for part in parts)
        if runtime > 0 and period > 0:
            return runtime / period
    return None


def _hierarchies(root: Path) -> Iterator[_Hierarchy]:
    """Those that can hold a quota: version 2, and version 1's with the controller ``cpu``."""
    own = dict(_own_groups(root))
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mounted, _, kind = line.partition(" - ")
        fields, (file_system, *rest) = mounted.split(), kind.split() or [""]
        options = set(rest[-1].split(",")) if rest else set()
        if file_system == "cgroup2":
            name = ""
        elif file_system == "cgroup" and "cpu" in options:
            name = "cpu"
        else:
            continue
        if name in own and len(fields) > 4:
            shown, at = PurePosixPath(_plain(fields[3])), _plain(fields[4]).lstrip("/")
            yield _Hierarchy(root / at, _below(own[name], shown), name == "")


def _own_groups(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """This process's group by controller; version 2's is named by nothing."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        yield from ((name, PurePosixPath(path)) for name in controllers.split(","))


def _below(group: PurePosixPath, shown: PurePosixPath) -> PurePosixPath:
    """A group's path below a mount that shows a part of the hierarchy, as a container's does.

    Where the group lies outside of that part, as with /.. before it, the mount's own stands for it.
    """
    if ".." in group.parts:
        return PurePosixPath()
    with suppress(ValueError):
        return group.relative_to(shown)
    return PurePosixPath(*group.parts[1:])


def _plain(text: str) -> str:
    """As it was before mountinfo wrote its blanks as numbers."""
    return text.replace("\\040", " ")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
