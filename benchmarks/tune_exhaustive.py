"""Is edaformer-tune's search as good as trying everything? On a space small enough for both.

    python benchmarks/tune_exhaustive.py CHECKPOINT DATA [--every 3] [--trials 48] [--size 360x480]

DATA is as --data takes it. The space is once and twice the trained ratios in all seven places, 128
settings. All are tried on every third image; then the search runs on these for several budgets, and
what it asked for is counted. Prints a Markdown table; docs/tuning.md holds the last one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edaformer.data import open_dataset
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.search.accuracy import Evaluator
from edaformer.engines.tune.search.search import Search, Split
from edaformer.engines.tune.search.space import Space, every_setting
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.validate.procedure import Procedure
from edaformer.evaluation.protocol import get_protocol
from edaformer.families.table import count, load_checkpoint
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, parse_size

BUDGETS = (0.25, 0.5, 0.8, 1.5)


@dataclass
class Counting(Evaluator):
    """Serves what was tried before, and counts what is asked for."""

    asked: set[tuple[ISR, int]] = field(default_factory=set)

    def evaluate(self, settings: Iterable[ISR], images: Iterable[int]) -> None:
        """Make no trial twice; remember who asked."""
        settings, images = list(settings), list(images)
        self.asked |= {(isr, at) for isr in settings for at in images}
        super().evaluate(settings, images)


def main() -> None:
    """Everything once, then the search for each budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--size", type=parse_size, default=(360, 480))
    options = parser.parse_args()
    checkpoint, padded = load_checkpoint(options.checkpoint), aligned(options.size, ALIGN)
    data = open_dataset(options.data, options.size)
    images = range(0, len(data), options.every)
    whole = (checkpoint.variant, checkpoint.num_classes, padded)
    space = Space.of(every_setting(padded, (1, 2)), lambda isr: count(*whole, isr).gmacs)
    halves = Split.of(len(images), 0.5)
    split = Split(tuple(images[at] for at in halves.tuned), tuple(images[at] for at in halves.held))
    with (
        tempfile.TemporaryDirectory() as folder,
        Trials.open(Path(folder) / "trials.sqlite", {}, resume=False) as trials,
    ):
        procedure = Procedure(get_protocol(data.protocol), options.size, "resize")
        evaluator = Counting(checkpoint.model(), data, procedure, ALIGN, trials)
        evaluator.evaluate(space.settings, images)
        print(
            f"{data.name}, {len(images)} images, {len(space)} settings, --trials {options.trials}\n"
        )
        print("| budget | everything | saves | search | saves | trials made |")
        print("| ---: | --- | ---: | --- | ---: | ---: |")
        for limit in BUDGETS:
            evaluator.asked.clear()
            budget = Budget("miou-drop", limit)
            search = Search(space, evaluator, split, budget, options.trials, ())
            found, best = search.pick(search.run()), search.pick(space.settings)
            share = len(evaluator.asked) / (len(space) * len(images))
            print(f"| {limit} | {told(space, best)} | {told(space, found)} | {share:.0%} |")


def told(space: Space, isr: ISR | None) -> str:
    """A setting and what it saves; base is always within a drop."""
    assert isr is not None
    saving = 1 - space.cost[space.index[isr]] / space.cost[0]
    return f"`{isr}` | {saving:.2%}"


if __name__ == "__main__":
    main()
