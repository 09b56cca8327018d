"""``edaformer-tune`` as a user runs it, and as one interrupts it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.run.labeller import OnnxLabeller
from edaformer.engines.run.ladder import Ladder
from edaformer.engines.run.ladder_index import read_index
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE
from tests.cli.test_commands import Run, run
from tests.conftest import ROOT
from tests.folder import lay_folder, nearly_right

__all__ = ["run"]  # the fixture
SIZE = (64, 64)
INT8, FP8 = (("--precision", one, "--calibrate") for one in ("int8", "fp8"))
MAIN = "from edaformer.cli.tune import main; main()"


@pytest.fixture(scope="module")
def data(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images whose truth is what the network says at base ISR, a tenth of it at random."""
    pairs = nearly_right(small_checkpoint.model(BASE), natural_noise(4, SIZE), 5)
    return lay_folder(tmp_path_factory.mktemp("data"), pairs, small_checkpoint.classes or ())


def line(checkpoint: Checkpoint, data: Path, out: Path, *more: object) -> list[str]:
    words = [checkpoint.path, "--data", f"folder:{data}", "--size", "64x64", "--trials", 20,
             "--out", out, "--holdout", 0.5, *more]  # fmt: skip
    return [str(word) for word in words]


@pytest.mark.slow
def test_everything_is_written_and_the_next_line_is_named(
    run: Run, small_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder"
    ran = run("tune", *line(small_checkpoint, data, out, "--device", "orin-nano"))
    assert ran.code == 0, ran.err
    made = json.loads((out / "tune.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == [
        "front.html", "front.png", "trials.sqlite", "tune.json",
    ]  # fmt: skip
    pick = made["pick"]["isr"]
    assert ran.out.startswith(f"{pick}\n")
    assert "modelled: roofline, a lower bound" in ran.out
    assert f"next: edaformer-export {small_checkpoint.path} --isr {pick} --size 64x64" in ran.err
    with sqlite3.connect(out / "trials.sqlite") as rows:
        (count,) = rows.execute("SELECT count(*) FROM trials").fetchone()
    rows.close()
    assert count == made["evaluations"]
    refused = run("tune", *line(small_checkpoint, data, out))
    assert refused.code == 2
    assert "go on with it with --resume" in refused.err
    again = run("tune", *line(small_checkpoint, data, out, "--resume", "--json"))
    assert json.loads(again.out)["pick"]["isr"] == pick


@pytest.mark.slow
def test_a_ladder_and_an_export(
    run: Run, small_checkpoint: Checkpoint, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from edaformer.machine import backend

    monkeypatch.setattr(backend, "is_installed", lambda _: False)  # 64x64 fuses no attention
    out = tmp_path / "out"
    more = ("--max-miou-drop", 100, "--export", "--ladder", 2, "--attention", "unfused", "--json")
    made = json.loads(run("tune", *line(small_checkpoint, data, out, *more)).out)
    exported = artifact_manifest(Path(made["export"]["path"]))
    assert exported.isr == made["pick"]["isr"]
    assert exported.attention == "unfused"
    found = read_index(Path(made["ladder"]["index"]))
    assert found.size == SIZE
    rungs = [artifact_manifest(rung.artifact) for rung in found.rungs]
    assert [one.isr for one in rungs] == [rung["isr"] for rung in made["ladder"]["rungs"]]
    assert {one.attention for one in rungs} == {"unfused"}
    image = natural_noise(1, SIZE)[0]
    with Ladder.load(made["ladder"]["index"], deadline=60) as ladder:
        expected = OnnxLabeller(found.rungs[0].artifact)(image)
        assert np.array_equal(ladder(image), expected)


@pytest.mark.slow
def test_killed_three_times_at_random_and_resumed_the_front_is_the_same(
    run: Run, small_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    whole = json.loads(run("tune", *line(small_checkpoint, data, tmp_path / "a", "--json")).out)
    dice, out = random.Random(7), tmp_path / "b"
    stops = sorted(dice.uniform(0.05, 0.95) * whole["evaluations"] for _ in range(3))
    for stop in stops:
        _run_and_kill(line(small_checkpoint, data, out, "--resume"), out, stop)
    assert 0 < _rows(out) < whole["evaluations"]
    resumed = json.loads(run("tune", *line(small_checkpoint, data, out, "--resume", "--json")).out)
    for part in ("front", "pick", "sensitivity", "trials", "evaluations"):
        assert resumed[part] == whole[part]


FEW = (  # an export takes seconds: base and the pick alone are crossed
    "import edaformer.engines.tune.quantising as q, edaformer.engines.tune.tune as t; "
    "q.MOST_EXPORTED = 1; t.names_of = lambda places: {places.base: 'base'}; "
)


@pytest.mark.slow
def test_killed_among_eight_bits_and_resumed_the_front_is_the_same(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """While graphs are exported, built and tried; at this size weights move most, so INT8 pays."""
    pairs = nearly_right(small_checkpoint.model(BASE), natural_noise(12, SIZE), 5)
    data = lay_folder(tmp_path / "data", pairs, small_checkpoint.classes or ())
    more = (*INT8, f"folder:{data}", "--quantise", "decoder", "--min-agreement", 0, "--trials", 12,
            "--max-miou-drop", 60)  # fmt: skip
    whole, killed = tmp_path / "a", tmp_path / "b"
    said = _end(line(small_checkpoint, data, whole, *more))
    assert {point["precision"] for point in said["front"]} == {"fp16", "int8"}
    assert said["images"] == 3  # of 12, 9 are calibrated on
    in_float = said["evaluations"] - _rows(whole, "WHERE isr LIKE '% int8 %'")
    words = line(small_checkpoint, data, killed, *more, "--resume")
    for table, rows in (("trials", in_float), ("builds", 2), ("trials", said["evaluations"] - 1)):
        _run_and_kill(words, killed, rows, table=table, before=FEW)
        for file in killed.rglob("*.onnx"):
            read_onnx_manifest(file)
    resumed = _end(words)
    for part in ("front", "pick", "sensitivity", "trials", "evaluations", "quantised"):
        assert resumed[part] == said[part]


def _end(words: list[str]) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", FEW + MAIN, *words, "--json"], check=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
    )  # fmt: skip
    made: dict[str, Any] = json.loads(ran.stdout)
    return made


def _run_and_kill(
    words: list[str], out: Path, rows: float, *, table: str = "trials", before: str = ""
) -> None:
    """SIGKILL once so many trials are on disk."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + MAIN, *words], env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while _rows(out, table=table) < rows:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _rows(out: Path, which: str = "", *, table: str = "trials") -> int:
    if not (out / "trials.sqlite").exists():
        return 0
    connection = sqlite3.connect(out / "trials.sqlite", timeout=30)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table} {which}").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are not there yet
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--max-gmacs", 1, "--max-miou-drop", 1), "exclude each other"),
        (("--max-latency", "8ms"), "name it with --device"),
        (("--max-latency", "soon", "--device", "l4"), "such as 8ms, got 'soon'"),
        (("--max-miou-drop", -1), "--max-miou-drop of 0 or more, got -1"),
        (("--device", "abacus"), "got 'abacus'"),
        (("--max-gmacs", 0.001), "allow more, or use a smaller --size"),
        (("--trials", 0), "--trials of 1 to 100000"),
        (("--ladder", 0), "--ladder of 1 or more, got 0"),
        (("--attention", "unfused"), "what --export and --ladder write, and neither is asked for"),
        (("--precision", "int8"), "--calibrate"),
        (("--calibrate", "scenes"), "--calibrate is for --precision int8 and fp8; leave it out"),
        (("--quantise", "mlp"), "--quantise is for --precision int8 and fp8; leave it out"),
        (("--min-agreement", 0), "--min-agreement is for --precision int8 and fp8; leave it out"),
        ((*INT8, "scenes", "--attention", "unfused", "--export"), "not searched together"),
        ((*INT8, "scenes", "--quantise", "all,of,it"), "expected --quantise out of attention"),
        ((*INT8, "scenes"), "scenes has 11 classes and"),
        ((*INT8, "scenes", "--max-gmacs", 1), "of which int8 has as many"),
        (
            ("--precision", "fp8", "--calibrate", "scenes", "--device", "orin-nx"),
            "--precision int8",
        ),
        ((*INT8, "scenes", "--device", "cpu"), "leave --device out, or name another"),
    ],
)
def test_wrong_usage_is_one_sentence(
    words: tuple[object, ...], told: str, run: Run, small_checkpoint: Checkpoint, data: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    ran = run("tune", *line(small_checkpoint, data, tmp_path / "out", *words))
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_the_data_s_own_size_where_nothing_says_another(
    run: Run, small_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    ran = run("tune", small_checkpoint.path, "--data", f"folder:{data}", "--max-gmacs", 0.001,
              "--out", tmp_path / "out")  # fmt: skip
    assert "tuning for 64x64, the size of the first image" in ran.err


@pytest.mark.parametrize(("words", "said"), [
    (["--frames", "scenes:9"], "--frames and --adapt-steps are for --adapt"),
    (["--adapt", "0"], "expected --adapt of 1 or more settings, got 0"),
    (["--adapt", "2"], "name some with --frames"),
    (["--adapt", "1", "--frames", "scenes:9", "--adapt-steps", "0"], "from 1 to"),
])  # fmt: skip
def test_what_adapting_asks_for(
    run: Run, small_checkpoint: Checkpoint, data: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    ran = run("tune", *line(small_checkpoint, data, tmp_path / "out", *words))
    assert ran.code == 2
    assert said in ran.err
