"""The search's work in other processes (engines/spread): a unit is an image at some settings."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edaformer.data import Dataset, Sample
from edaformer.data.archive import image_sha256
from edaformer.engines.spread.job import Placed
from edaformer.engines.spread.spread import Hired, Spread
from edaformer.engines.tune.search.accuracy import Opened, Trier
from edaformer.engines.tune.search.asked import Asked, Tried
from edaformer.engines.tune.search.setting import Graphs
from edaformer.engines.validate.procedure import Procedure
from edaformer.families.checkpoint import Checkpoint

_AHEAD = 1  # images that a worker reads ahead, as this process does


@dataclass(frozen=True)
class TrialJob:
    """PyTorch on the CPU, whose weights go with it, and graphs in eight bits, whose files do."""

    checkpoint: Checkpoint
    data: Dataset
    procedure: Procedure
    align: int | None
    graphs: Graphs = field(default_factory=dict)
    needs_gpu: bool = False
    kept: str = "finished trials are kept: go on with --resume"

    @property
    def files(self) -> tuple[Path, ...]:
        """The graphs."""
        return tuple(self.graphs.values())

    def open(self, placed: Placed) -> TryingUnits:
        """In a worker."""
        graphs = {one: placed.moves.get(path, path) for one, path in self.graphs.items()}
        opened = Opened(graphs, placed.threads)
        pool = ThreadPoolExecutor(placed.threads, thread_name_prefix="count")
        data = self.data.moved(placed.moves)
        return TryingUnits(
            Trier(self.checkpoint.model(), data, self.procedure, self.align, pool, opened), data
        )

    def unit_files(self, unit: Asked) -> tuple[Path, ...]:
        """Of its image."""
        return self.data.files(unit.at)

    def called(self, unit: Asked) -> str:
        """The image's name."""
        return self.data.name_of(unit.at)


@dataclass(frozen=True)
class TryingUnits:
    """The job, opened in a worker."""

    trier: Trier
    data: Dataset

    def read(self, unit: Asked) -> tuple[Asked, Sample, str]:
        """The image, and the hash of its pixels."""
        sample = self.data.load(unit.at)
        return unit, sample, image_sha256(sample.image)

    def work(self, read: tuple[Asked, Sample, str]) -> Tried:
        """Its counts at all settings."""
        unit, sample, digest = read
        return Tried(unit.at, sample.name, digest, self.trier.counts(sample, unit.settings))

    def close(self) -> None:
        """End the threads that count."""
        self.trier.pool.shutdown()


@contextmanager
def hired(
    spread: Spread | None, checkpoint: Checkpoint, data: Dataset, procedure: Procedure,
    align: int | None, *, graphs: Graphs | None = None,
) -> Iterator[Hired | None]:  # fmt: skip
    """Whoever tries the settings of a checkpoint, for an Evaluator; None: this process."""
    if spread is None:
        yield None
        return
    job = TrialJob(checkpoint, data, procedure, align, graphs or {})
    with spread.hired(job, len(data), ahead=_AHEAD) as made:
        yield made
