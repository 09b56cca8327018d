from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaformer.engines.tune.search.rows import Built, Latency
from edaformer.engines.tune.search.setting import InEightBits
from edaformer.engines.tune.search.trials import Trials
from edaformer.errors import InputError
from edaformer.isr import BASE, ISR

PAPER = ISR.parse("paper")
BOUND = {"checkpoint": "a" * 64, "size": "64x64"}
COUNTS = np.array([[3, 1, 0], [4, 2, 2], [5, 1, 2]])  # of 8 pixels


def test_everything_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    paper = ISR.parse("paper")
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add(4, "image 4", {BASE: COUNTS, paper: 2 * COUNTS})
        trials.add(7, "image 7", {BASE: 3 * COUNTS})
        trials.add_latency(paper, "some device", Latency(0.008, 123, 0.02))
    with Trials.open(path, BOUND, resume=True) as again:
        assert len(again) == 3
        assert again.hashes == {4: "image 4", 7: "image 7"}
        assert again.latencies == {(paper, "some device"): Latency(0.008, 123, 0.02)}
        assert again.has(BASE, 7)
        assert not again.has(paper, 7)
        matrix = again.matrix([BASE], [7, 4])
    assert np.array_equal(matrix, [[3 * COUNTS, COUNTS]])


def test_a_file_that_is_there_is_not_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    with Trials.open(path, BOUND, resume=False):
        pass
    with pytest.raises(InputError, match="go on with it with --resume, or name another"):
        Trials.open(path, BOUND, resume=False)


@pytest.mark.parametrize("name", BOUND)
def test_it_serves_what_it_was_begun_with_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    with Trials.open(path, BOUND, resume=True):
        pass
    with pytest.raises(InputError, match=f"begun with {name} .* name another folder with --out"):
        Trials.open(path, BOUND | {name: "other"}, resume=True)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(100)])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a results file of edaformer-tune"):
        Trials.open(path, BOUND, resume=True)


def laid(path: Path) -> Path:
    """Two images, one of them at two settings, and a measured frame."""
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add(0, "a" * 64, {BASE: COUNTS, PAPER: 2 * COUNTS})
        trials.add(1, "b" * 64, {BASE: 3 * COUNTS})
        trials.add_latency(BASE, "device", Latency(0.5, 9))
    return path


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("UPDATE trials SET counts = x'0102' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET counts = x'' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET counts = 'text' WHERE at = 1", {(BASE, 1)}),  # was a TypeError
        ("UPDATE trials SET counts = 7.5 WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET counts = (SELECT counts FROM trials WHERE at = 1)",
         {(BASE, 0), (PAPER, 0)}),
        ("UPDATE trials SET counts = (SELECT counts FROM trials WHERE at = 1), "
         "seal = (SELECT seal FROM trials WHERE at = 1)", {(BASE, 0), (PAPER, 0)}),
        ("UPDATE trials SET seal = 'x' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET seal = x'00' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET at = 7 WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET at = 'seven' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET isr = '16,8,4,1-1,2,4' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET isr = x'ff' WHERE at = 1", {(BASE, 1)}),
        ("UPDATE trials SET isr = CAST(x'ff' AS TEXT) WHERE at = 1", {(BASE, 1)}),  # no UTF-8
        ("DELETE FROM trials WHERE at = 1", {(BASE, 1)}),
        ("UPDATE images SET sha256 = 'c' WHERE at = 1", {(BASE, 1)}),
        ("DELETE FROM images WHERE at = 0", {(BASE, 0), (PAPER, 0)}),
    ],
)  # fmt: skip
def test_a_damaged_row_is_dropped_and_told(
    change: str, lost: set[tuple[ISR, int]], tmp_path: Path
) -> None:
    path = laid(tmp_path / "trials.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    notes: list[str] = []
    with Trials.open(path, BOUND, resume=True, on_note=notes.append) as trials:
        for isr, at, counts in ((BASE, 0, COUNTS), (PAPER, 0, 2 * COUNTS), (BASE, 1, 3 * COUNTS)):
            assert trials.has(isr, at) == ((isr, at) not in lost)
            if (isr, at) not in lost:
                assert np.array_equal(trials.counts[isr][at], counts)
        trials.add(1, "b" * 64, {BASE: 3 * COUNTS})
    whole = "DELETE FROM trials" in change
    assert [text.partition(" results in ")[2] for text in notes] == (
        [] if whole else [f"{path} are damaged; computing them again"]
    )
    with Trials.open(path, BOUND, resume=True, on_note=notes.append) as trials:
        assert trials.has(BASE, 1)
        assert len(notes) == (not whole)  # what was dropped is gone


@pytest.mark.parametrize(
    "change", ["seconds = 'quick'", "seconds = 0.25", "bytes = 'few'", "runs_on = 'other'"]
)
def test_a_damaged_latency_is_measured_again(change: str, tmp_path: Path) -> None:
    path = laid(tmp_path / "trials.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE latencies SET {change}")
    notes: list[str] = []
    with Trials.open(path, BOUND, resume=True, on_note=notes.append) as trials:
        assert trials.latencies == {}
    assert "1 results" in notes[0]


EIGHT = InEightBits(PAPER, "fp8", ("attention",), "a" * 16)
BUILT = Built(270, 206_746_012, 22, 0, 9_000_000)


def test_both_precisions_lie_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add(0, "a" * 64, {PAPER: COUNTS, EIGHT: 2 * COUNTS})
        trials.add_latency(EIGHT, "device", Latency(0.5, 9))
        trials.add_built(EIGHT, "rtx 1.7", BUILT)
        trials.add_built(PAPER, "rtx 1.7", replace(BUILT, kernels=280))
    with Trials.open(path, BOUND, resume=True) as again:
        assert np.array_equal(again.matrix([PAPER, EIGHT], [0])[:, 0], [COUNTS, 2 * COUNTS])
        assert again.latencies == {(EIGHT, "device"): Latency(0.5, 9)}
        assert again.builds[EIGHT, "rtx 1.7"] == BUILT
        assert again.builds[PAPER, "rtx 1.7"].kernels == 280
        other = replace(EIGHT, origin="b" * 16)  # calibrated on others
        assert not again.has(other, 0)


@pytest.mark.parametrize(
    "change",
    ["kernels = 269", "traffic = 1", "fused = 'all'", "bytes = 0", "built_by = 'other'",
     "setting = '8,4,2,1-1,2,4'", "seal = 'x'"],
)  # fmt: skip
def test_a_damaged_build_is_made_again(change: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add_built(EIGHT, "rtx 1.7", BUILT)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE builds SET {change}")
    notes: list[str] = []
    with Trials.open(path, BOUND, resume=True, on_note=notes.append) as trials:
        assert trials.builds == {}
    assert "1 results" in notes[0]


@pytest.mark.parametrize(
    "counts", [[[5], [4], [4]], [[-1], [4], [4]], [[1], [4], [5]], [[2, 2], [4, 1], [1, 4]]]
)
def test_counts_that_cannot_be_are_not_believed(counts: list[list[int]], tmp_path: Path) -> None:
    """Though their seal fits: more hits than pixels, fewer than none, pixels that come or go."""
    path = tmp_path / "trials.sqlite"
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add(0, "a" * 64, {BASE: np.array(counts)})
    with Trials.open(path, BOUND, resume=True) as trials:
        assert len(trials) == 0


def test_rows_of_another_run_are_not_believed(tmp_path: Path) -> None:
    own, other = laid(tmp_path / "own.sqlite"), tmp_path / "other.sqlite"
    with Trials.open(other, BOUND | {"size": "32x32"}, resume=False) as trials:
        trials.add(1, "b" * 64, {BASE: 5 * COUNTS})
    with closing(sqlite3.connect(own)) as connection, connection:
        connection.execute("ATTACH ? AS other", (str(other),))
        connection.execute("INSERT OR REPLACE INTO trials SELECT * FROM other.trials")
    with Trials.open(own, BOUND, resume=True) as trials:
        assert not trials.has(BASE, 1)
        assert trials.has(BASE, 0)


def test_no_flipped_bit_is_believed(tmp_path: Path) -> None:
    """In 400 places: refused in a sentence, or the row it hit is dropped."""
    path = laid(tmp_path / "trials.sqlite")
    data, generator = path.read_bytes(), np.random.default_rng(0)
    known = {(BASE, 0): COUNTS, (PAPER, 0): 2 * COUNTS, (BASE, 1): 3 * COUNTS}
    for _ in range(400):
        damaged = bytearray(data)
        damaged[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            with Trials.open(path, BOUND, resume=True) as trials:
                for isr, images in trials.counts.items():
                    for at, counts in images.items():
                        assert np.array_equal(counts, known[isr, at])
        except InputError:
            continue


def test_a_file_that_another_program_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **more: connect(path, timeout=0, **more))
    path = laid(tmp_path / "trials.sqlite")
    with (
        closing(connect(path, isolation_level=None)) as other,
        Trials.open(path, BOUND, resume=True) as trials,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="is in use by another program"):
            Trials.open(path, BOUND, resume=True)
        with pytest.raises(InputError, match="is in use by another program"):
            trials.add(2, "c" * 64, {BASE: COUNTS})
        with pytest.raises(InputError, match="is in use by another program"):
            trials.add_latency(PAPER, "device", Latency(0.5, 9))
        other.execute("ROLLBACK")
        trials.add(2, "c" * 64, {BASE: COUNTS})


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .* \(unable to open database file\)"):
        Trials.open(tmp_path, BOUND, resume=True)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from edaformer.engines.tune.search.trials import Trials
from edaformer.isr import BASE
with Trials.open(Path(sys.argv[1]), {"a": "b"}, resume=True) as trials:
    for at in range(10**6):
        trials.add(at, str(at), {BASE: np.full((3, 2), at)})
        print(at, flush=True)
"""


def test_what_was_added_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(20)][-1]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.stdout.close()
    writer.wait()
    said = max([said, *map(int, rest)])
    with Trials.open(path, {"a": "b"}, resume=True) as trials:
        assert len(trials) >= said + 1
        assert all(trials.counts[BASE][at][0, 0] == at for at in range(said + 1))
