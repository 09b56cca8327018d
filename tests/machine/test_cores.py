"""Cores that may be used: affinity, hyper-threads, and control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edaformer.machine import cores

V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
)
GROUPS_V1 = "5:cpuset:/docker/ab\n4:cpu,cpuacct:/docker/ab\n0::/\n"
AT_V1 = "sys/fs/cgroup/cpu,cpuacct"


def lay(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """What the kernel shows to a process."""
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def v1(group: str, quota: int, period: int = 100_000) -> dict[str, str]:
    at = f"{AT_V1}/{group}".rstrip("/")
    return {f"{at}/cpu.cfs_quota_us": f"{quota}\n", f"{at}/cpu.cfs_period_us": f"{period}\n"}


def v2(group: str, limit: str) -> dict[str, str]:
    return {f"sys/fs/cgroup/{group}/cpu.max".replace("//", "/"): f"{limit}\n"}


CASES: dict[str, tuple[str, str, dict[str, str], float | None]] = {
    "no control groups": ("", "", {}, None),
    "v2, a container that sees its own": ("0::/\n", V2, v2("", "150000 100000"), 1.5),
    "v2, no limit": ("0::/\n", V2, v2("", "max 100000"), None),
    "v2, nested: the least on the way up": (
        "0::/pod/job/step\n", V2,
        v2("pod", "200000 100000") | v2("pod/job", "800000 100000") | v2("pod/job/step", "max 1"),
        2.0,
    ),
    "v2, a limit beside the way is another's": (
        "0::/pod/job\n", V2, v2("pod/other", "100000 100000") | v2("pod/job", "max 1"), None
    ),
    "v2, another period": ("0::/\n", V2, v2("", "25000 50000"), 0.5),
    "v2, the mount shows a part of it": (
        "0::/pod/job\n", V2.replace(" / /sys", " /pod /sys"), v2("job", "300000 100000"), 3.0
    ),
    "v2, the group lies outside of the mount": (
        "0::/../other\n", V2, v2("", "400000 100000"), 4.0
    ),
    "v2, nonsense": ("0::/\n", V2, v2("", "many 100000"), None),
    "v2, no period": ("0::/\n", V2, v2("", "100000"), None),
    "v2, a period of nothing": ("0::/\n", V2, v2("", "100000 0"), None),
    "v1": (GROUPS_V1, V1, v1("docker/ab", 250_000), 2.5),
    "v1, no limit": (GROUPS_V1, V1, v1("docker/ab", -1), None),
    "v1, nested": (GROUPS_V1, V1, v1("docker/ab", -1) | v1("docker", 300_000), 3.0),
    "v1, a container that sees its own": (
        GROUPS_V1, V1.replace(" / /sys/fs/cgroup/cpu,", " /docker/ab /sys/fs/cgroup/cpu,"),
        v1("", 400_000), 4.0,
    ),
    "v1, a container whose mount does not say so": (GROUPS_V1, V1, v1("", 400_000), 4.0),
    "both: the least": (
        "4:cpu,cpuacct:/a\n0::/b\n",
        V1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        v1("a", 500_000) | v2("unified/b", "600000 100000"), 5.0,
    ),
    "cut short": ("0::/\nx\n", V2 + "30 23\n- \n - cgroup2\n", v2("", "100000 100000"), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_quota(case: str, tmp_path: Path) -> None:
    groups, mounts, files, expected = CASES[case]
    assert cores.quota(lay(tmp_path, groups, mounts, files)) == expected


@pytest.mark.parametrize(
    ("allowed", "limit", "expected"),
    [
        (8, "max 100000", 8), (8, "150000 100000", 2), (8, "200000 100000", 2),
        (8, "1000 100000", 1), (2, "600000 100000", 2), (1, "max 100000", 1),
    ],
)  # fmt: skip
def test_the_least_counts_rounded_up(
    allowed: int, limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    assert cores.usable(lay(tmp_path, "0::/\n", V2, v2("", limit))) == expected


def test_two_threads_of_a_core_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four cores with two threads each: all, one of each, and a core and a half."""
    for processor in range(8):
        at = tmp_path / f"sys/devices/system/cpu/cpu{processor}/topology"
        at.mkdir(parents=True)
        (at / "thread_siblings_list").write_text(f"{processor % 4},{processor % 4 + 4}\n")
    for allowed, expected in (({*range(8)}, 4), ({0, 1, 2, 3}, 4), ({0, 4, 5}, 2), ({7}, 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, a=allowed: a, raising=False)
        assert cores.usable(tmp_path) == expected


def test_where_no_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores.usable(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.usable(tmp_path) == 1


def test_here() -> None:
    assert 1 <= cores.usable() <= (os.cpu_count() or 1)
