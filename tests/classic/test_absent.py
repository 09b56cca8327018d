"""Where something is missing, the reason is given; what is not NVIDIA's own is never taken."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.classic import releases

SKIPPED, FAILED = pytest.skip.Exception, pytest.fail.Exception
RELEASE = releases.RELEASES[0]


@pytest.fixture
def wheel() -> Path:
    """The right one; asked for before ``cache`` hides it."""
    return releases._wheel(RELEASE)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is empty, and a pip that asks nobody."""
    monkeypatch.setattr(releases, "CACHE", tmp_path / "cache")
    (tmp_path / "links").mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path / "links"),
                        "CONFIG_FILE": "/dev/null"}.items():  # fmt: skip
        monkeypatch.setenv(f"PIP_{name}", value)
    return tmp_path / "cache"


def test_no_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SKIPPED, match=r"needs a C\+\+ compiler"):
        releases.site(RELEASE)


def test_no_wheel(cache: Path) -> None:
    with pytest.raises(SKIPPED, match=r"10\.3\.0's bindings cannot be fetched here: .*No matching"):
        releases.site(RELEASE)


def test_a_wheel_that_is_another(wheel: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "links" / wheel.name).write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(FAILED, match=r"not those of wheels\.txt"):
        releases.site(RELEASE)


def test_no_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SKIPPED, match="needs the libraries of TensorRT-RTX"):
        releases.rtx_libraries()


def test_a_release_without_a_line_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match=r"0 lines of 9\.9\.9"):
        releases._pinned("9.9.9")
