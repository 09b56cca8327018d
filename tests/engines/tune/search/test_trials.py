from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edaformer.engines.tune.search.trials import Latency, Trials
from edaformer.errors import InputError
from edaformer.isr import BASE, ISR

BOUND = {"checkpoint": "a" * 64, "size": "64x64"}
COUNTS = np.arange(9, dtype=np.int64).reshape(3, 3)


def test_everything_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    paper = ISR.parse("paper")
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add(4, "image 4", {BASE: COUNTS, paper: 2 * COUNTS})
        trials.add(7, "image 7", {BASE: 3 * COUNTS})
        trials.add_latency(paper, "some device", Latency(0.008, 123))
    with Trials.open(path, BOUND, resume=True) as again:
        assert len(again) == 3
        assert again.hashes == {4: "image 4", 7: "image 7"}
        assert again.latencies == {(paper, "some device"): Latency(0.008, 123)}
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


def test_a_damaged_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    with Trials.open(path, BOUND, resume=False) as trials:
        trials.add(0, "image", {BASE: COUNTS})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE trials SET counts = x'0102'")
    connection.close()
    with pytest.raises(InputError, match="is not a results file"):
        Trials.open(path, BOUND, resume=True)


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
