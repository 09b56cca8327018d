"""Files that are where they should be, that are others there, and that are brought."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edaformer.engines.spread import carried
from edaformer.engines.spread.carried import Carried, carry, placed, sweep


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(carried.tempfile, "tempdir", str(tmp_path / "temporary"))


def test_a_file_that_is_the_same_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"same")
    moves: dict[Path, Path] = {}
    with placed(carry([path]), {}, bytes, moves) as there:
        assert there
        assert moves == {}


def test_one_that_differs_or_is_not_here_is_brought_and_gone_after(tmp_path: Path) -> None:
    path, label = tmp_path / "images" / "a.png", tmp_path / "labels" / "a.png"
    for one in (path, label):
        one.parent.mkdir()
        one.write_bytes(str(one).encode())
    files = carry([path, label])
    path.write_bytes(b"another")
    label.unlink()
    moves: dict[Path, Path] = {}
    with placed(files, {path: b"x"}, bytes, moves) as there:
        assert not there
    with placed(files, {path: b"first", label: b"second"}, bytes, moves) as there:
        assert there
        assert [moves[one].read_bytes() for one in (path, label)] == [b"first", b"second"]
        assert [moves[one].name for one in (path, label)] == ["a.png", "a.png"]
    assert moves == {}
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "temporary"
    (folder / "edaformer-spread-999999999-x").mkdir()
    (folder / f"edaformer-spread-{os.getpid()}-x").mkdir()
    sweep()
    assert [one.name for one in folder.iterdir()] == [f"edaformer-spread-{os.getpid()}-x"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_who_is_dead_and_not_yet_waited_for_keeps_nothing(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    (tmp_path / "temporary" / f"edaformer-spread-{child}-x").mkdir()
    sweep()
    os.waitpid(child, 0)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_hash_is_of_what_is_there_now(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = carry([path])
    path.write_bytes(b"three")
    assert carry([path]) != first
    assert isinstance(first[0], Carried)
