"""Trials: settings on images, with the arithmetic of edaformer-validate.

An image is read once for all settings that are asked for at it. The network runs in this thread;
turning logits into labels and counting them, which takes as long for a setting as the network's
share of it, is done beside it.

What is in eight bits is a graph of its own in ONNX Runtime. Its logits are taken, though only
labels leave the file, so that it is judged as the others are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from edaformer.data import Dataset, Sample
from edaformer.data.archive import image_sha256
from edaformer.engines.segmenters.onnx import LogitsInside
from edaformer.engines.spread.spread import Hired
from edaformer.engines.tune.search.asked import Asked, Tried
from edaformer.engines.tune.search.prefixes import Prefixes
from edaformer.engines.tune.search.rows import Counts
from edaformer.engines.tune.search.setting import Graphs, InEightBits, Setting, key_of
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.validate.procedure import Image, Procedure, feeds, pass_logits
from edaformer.errors import DataError
from edaformer.evaluation.metrics import class_counts, confusion_matrix
from edaformer.evaluation.protocol import Pass
from edaformer.families.network import Network
from edaformer.isr import ISR
from edaformer.labels.decide import PassLogits, TileLogits, decide
from edaformer.preprocess import aligned, network_input

_WORKERS = 2
_WAITING = 8  # label maps that may wait to be counted: their logits are held


@dataclass(frozen=True)
class Trier:
    """Tries settings on an image, wherever it is."""

    model: Network  # its ratios are changed in place
    data: Dataset
    procedure: Procedure
    align: int | None
    pool: ThreadPoolExecutor
    opened: Opened

    def counts(self, sample: Sample, settings: Iterable[Setting]) -> dict[Setting, Counts]:
        """Of each setting."""
        frame = _Frame.of(self.model, sample, self.procedure, self.align)
        made: dict[Setting, Counts] = {}
        waiting: deque[tuple[Setting, Future[Counts]]] = deque()
        for one in settings:
            passes = (
                self._graph_s(sample, one) if isinstance(one, InEightBits) else frame.logits(one)
            )
            waiting.append((one, self.pool.submit(self._count, sample, passes)))
            if len(waiting) > _WAITING:
                first, counts = waiting.popleft()
                made[first] = counts.result()
        return made | {one: counts.result() for one, counts in waiting}

    def _graph_s(self, sample: Sample, setting: InEightBits) -> tuple[PassLogits, ...]:
        height, width = sample.labels.shape
        graph, passes = self.opened.of(setting), self.procedure.passes((height, width))
        return tuple(pass_logits(graph, sample.image, one) for one in passes)

    def _count(self, sample: Sample, passes: tuple[PassLogits, ...]) -> Counts:
        height, width = sample.labels.shape
        labels = decide(passes, (height, width)).labels
        classes, void = len(self.data.classes), self.data.ignore_label
        return class_counts(confusion_matrix(sample.labels, labels, classes, void))


@dataclass
class Opened:
    """Graphs, the last of them open: each holds the memory of a whole network."""

    graphs: Graphs
    threads: int | None = None  # None: all
    last: tuple[InEightBits, LogitsInside] | None = None

    def of(self, setting: InEightBits) -> LogitsInside:
        """The setting's."""
        if self.last is None or self.last[0] != setting:
            self.last = None  # given back before the next is opened
            path = self.graphs[setting]
            graph = LogitsInside(path, provider="cpu", threads=self.threads)
            self.last = (setting, graph)
        return self.last[1]


@dataclass
class Evaluator:
    """A model, data, and where trials go."""

    model: Network  # its ratios are changed in place
    data: Dataset
    procedure: Procedure
    align: int | None
    trials: Trials
    on_image: Callable[[int, int], None] = lambda *_: None
    hired: Hired | None = None  # who tries, with a TrialJob of the same; None: this process
    graphs: Graphs = field(default_factory=dict)  # of what is in eight bits

    def evaluate(self, settings: Iterable[Setting], images: Iterable[int]) -> None:
        """Make every trial that is not there yet.

        Those in float go together, since they share what is computed of an image; graphs go one
        after the other.

        Raises:
            DataError: if an image is not the one that an earlier run saw.
        """
        wanted, at = sorted(settings, key=lambda one: (one.ratios, key_of(one))), list(images)
        self._evaluate([one for one in wanted if not isinstance(one, InEightBits)], at)
        for one in wanted:
            if isinstance(one, InEightBits):
                self._evaluate([one], at)

    def _evaluate(self, wanted: list[Setting], images: list[int]) -> None:
        todo = {at: [one for one in wanted if not self.trials.has(one, at)] for at in images}
        units = [Asked(at, tuple(missing)) for at, missing in todo.items() if missing]
        for done, tried in enumerate(self._tried(units), start=1):
            self._check(tried.name, tried.at, tried.sha256)
            self.trials.add(tried.at, tried.sha256, tried.counts)
            self.on_image(done, len(units))

    def _tried(self, units: list[Asked]) -> Iterator[Tried]:
        """In their order, or as they are done."""
        if self.hired is not None:
            yield from (tried for _, tried in self.hired.over(units))
            return
        with ThreadPoolExecutor(1 + _WORKERS, thread_name_prefix="tune") as pool:
            opened = Opened(self.graphs)
            trier = Trier(self.model, self.data, self.procedure, self.align, pool, opened)
            samples = _ahead(pool, self.data, [unit.at for unit in units])
            for unit, loading in zip(units, samples, strict=True):
                sample = loading.result()
                digest = image_sha256(sample.image)
                self._check(sample.name, unit.at, digest)  # before an hour's work
                yield Tried(unit.at, sample.name, digest, trier.counts(sample, unit.settings))

    def _check(self, name: str, at: int, digest: str) -> None:
        if self.trials.hashes.get(at, digest) != digest:
            raise DataError(
                f"image {name} is not the one that {self.trials.path} was begun with; use "
                "the same data, or name another folder with --out"
            )


@dataclass(frozen=True)
class _Frame:
    """An image as its protocol feeds it to the network: passes of tiles."""

    passes: tuple[tuple[Pass, tuple[Prefixes, ...]], ...]
    align: int | None

    @classmethod
    def of(cls, model: Network, sample: Sample, procedure: Procedure, align: int | None) -> _Frame:
        """Nothing computed yet."""
        height, width = sample.labels.shape
        fill = model.normalisation.fill

        def prefixes(fed: Image) -> Prefixes:
            size = aligned((fed.shape[0], fed.shape[1]), align)
            return Prefixes(model, network_input(fed[None], "tensor", model.normalisation, size))

        passes = tuple(
            (
                one,
                tuple(prefixes(fed) for fed in feeds(sample.image, one, fill)),
            )
            for one in procedure.passes((height, width))
        )
        return cls(passes, align)

    def logits(self, isr: ISR) -> tuple[PassLogits, ...]:
        """What edaformer.labels.decide takes."""
        return tuple(
            PassLogits(one, tuple(
                TileLogits(tile, prefixes.logits(isr), aligned(tile.fed, self.align))
                for tile, prefixes in zip(one.tiles, tiles, strict=True)
            ))
            for one, tiles in self.passes
        )  # fmt: skip


def _ahead(pool: ThreadPoolExecutor, data: Dataset, images: list[int]) -> Iterable[Future[Sample]]:
    """Samples, the next one being read while one is worked on."""
    following: Future[Sample] | None = None
    for number, at in enumerate(images):
        current = following or pool.submit(data.load, at)
        last = number + 1 == len(images)
        following = None if last else pool.submit(data.load, images[number + 1])
        yield current
