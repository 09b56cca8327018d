"""The same search in this process and in many: pick, front and every trial."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from edaformer.data import Dataset
from edaformer.engines.spread.spread import Spread
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.tune import TRIALS_FILE, TuneOptions, tune
from edaformer.families.checkpoint import Checkpoint
from tests.engines.tune.conftest import SIZE


def test_two_processes_find_what_one_does(
    tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    def run(name: str, spread: Spread | None) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
        (tmp_path / name).mkdir()
        options = TuneOptions(SIZE, Budget("miou-drop", 8.0), trials=20)
        result = tune(tiny_checkpoint, tiny_data.head(4), options, tmp_path / name, spread=spread)
        with sqlite3.connect(tmp_path / name / TRIALS_FILE) as trials:
            rows = trials.execute("SELECT * FROM trials ORDER BY isr, at").fetchall()
        return {**result.to_json(), "seconds": None}, rows

    spread = Spread("processes", 2)
    assert run("spread", spread) == run("alone", None)
    assert {share["images"] > 0 for share in spread.team.to_json()} == {True}
