"""A whole tuning and a whole validation of the tiny network, as bytes to be compared."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from edaformer.data import Dataset, open_dataset
from edaformer.engines.spread.spread import Spread
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.tune import TRIALS_FILE, TuneOptions, tune
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.reference_cache import ReferenceCache
from edaformer.engines.validate.validate import validate
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.folder import FIVE, lay_folder, nearly_right
from tests.tiny import tiny_checkpoint

SIZE = (64, 96)  # of conftest's tiny_export
_IMAGES = 9
_LOOSE = Gates(max_miou_drop=100, min_agreement=0, trust_labels=True)


@dataclass(frozen=True)
class Whole:
    """The network's artifact, and a folder that its data are drawn into."""

    artifact: Path
    folder: Path

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return tiny_checkpoint()

    @cached_property
    def data(self) -> Dataset:
        torch.set_num_threads(1)  # as a worker has
        pairs = nearly_right(self.checkpoint.model(), natural_noise(_IMAGES, SIZE), len(FIVE))
        return open_dataset(f"folder:{lay_folder(self.folder / 'data', pairs, FIVE)}", SIZE)

    def tuned(self, name: str, spread: Spread | None) -> tuple[str, list[tuple[object, ...]]]:
        """The result without its seconds, and every row that was written."""
        out = self.folder / name
        out.mkdir()
        options = TuneOptions(SIZE, Budget("miou-drop", 8.0), trials=8, trust_labels=True)
        result = tune(self.checkpoint, self.data, options, out, spread=spread)
        with closing(sqlite3.connect(out / TRIALS_FILE)) as trials:
            rows = trials.execute("SELECT * FROM trials ORDER BY isr, at").fetchall()
        return json.dumps({**result.to_json(), "seconds": None}), rows

    def validated(
        self, name: str, spread: Spread | None
    ) -> tuple[str, list[bytes], dict[str, bytes]]:
        """The JSON, the labels of the worst images, and the cache."""
        cache = self.folder / name
        result = validate(
            self.artifact, self.checkpoint, self.data, gates=_LOOSE, provider="cpu",
            spread=spread, cache=ReferenceCache(cache), frames=True, keep_worst=3,
        )  # fmt: skip
        worst = [shown.candidate.tobytes() for shown in result.worst]
        kept = {str(p.relative_to(cache)): p.read_bytes() for p in cache.rglob("*.reference")}
        return json.dumps(result.to_json()), worst, kept
