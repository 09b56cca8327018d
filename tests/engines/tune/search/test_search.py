from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaformer.data import Dataset
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.search.accuracy import Evaluator
from edaformer.engines.tune.search.search import (
    Search,
    Split,
    _doublings,
    mean_iou,
    regret,
    spread_over,
)
from edaformer.engines.tune.search.space import Space, every_setting
from edaformer.engines.tune.search.surrogate import guess
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.validate.procedure import Procedure
from edaformer.evaluation.metrics import score
from edaformer.evaluation.protocol import get_protocol
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import count
from edaformer.isr import ISR
from tests.engines.tune.conftest import CLASSES, IMAGES, SIZE


def test_half_of_the_images_is_every_second_one() -> None:
    split = Split.of(11, 0.5)
    assert sorted(split.tuned) == [0, 2, 4, 6, 8, 10]
    assert split.held == (1, 3, 5, 7, 9)
    assert sorted(split.every) == list(range(11))


@pytest.mark.parametrize(("holdout", "held"), [(0.0, 0), (0.25, 25), (0.9, 90)])
def test_other_shares(holdout: float, held: int) -> None:
    split = Split.of(100, holdout)
    assert len(split.held) == held
    assert sorted(split.every) == list(range(100))


def test_every_beginning_of_the_tuned_images_is_spread_over_all() -> None:
    tuned = Split.of(101, 0.5).tuned
    for number in (8, 16, 32):
        gaps = np.diff(sorted(tuned[:number]))
        assert gaps.max() <= 2.1 * 101 / number


@pytest.mark.parametrize(
    ("images", "levels"), [(1, [1]), (8, [8]), (9, [8, 9]), (51, [8, 16, 32, 51])]
)
def test_doublings(images: int, levels: list[int]) -> None:
    assert _doublings(images) == levels


def test_regret_is_the_distance_to_the_best_that_costs_no_more() -> None:
    made = regret(np.array([3.0, 2.0, 2.0, 1.0]), np.array([70.0, 71.0, 69.0, 60.0]))
    assert made.tolist() == [1.0, 0.0, 2.0, 0.0]


def test_what_goes_on_is_spread_over_the_costs() -> None:
    cost_of, behind = np.array([1.0, 1.0, 1.0, 2.0, 10.0]), np.array([0.0, 0.1, 0.2, 0.0, 9.0])
    order = spread_over(cost_of, behind).tolist()
    assert set(order[:3]) == {0, 3, 4}
    assert order[3:] == [1, 2]


def test_mean_iou_is_validation_s() -> None:
    confusion = np.array([[5, 1, 0], [2, 7, 0], [0, 0, 0]])
    counts = np.stack([np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)])
    assert mean_iou(counts.astype(float)) == pytest.approx(score(confusion).miou)


def test_images_of_void_alone_tell_settings_apart_by_nothing() -> None:
    assert mean_iou(np.zeros((2, 3, 4))).tolist() == [0.0, 0.0]


def test_the_surrogate_finds_sums_and_pairs() -> None:
    space = Space.of(every_setting((384, 480)), lambda _: 0.0)
    features = space.features()
    weights = np.random.default_rng(0).normal(size=features.shape[1])
    truth = features @ weights
    tried = np.random.default_rng(1).choice(len(space), 400, replace=False)
    made = guess(features, tried, truth[tried])
    assert np.abs(made.drop - truth).max() < 0.05 * np.ptp(truth)
    assert made.error < 0.1 * truth.std()


@pytest.fixture(scope="module")
def everything(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """All 128 settings on all images."""
    from edaformer.data import open_dataset

    path = tmp_path_factory.mktemp("exhaustive") / "all.sqlite"
    data = open_dataset(f"folder:{tiny_folder}", SIZE)
    with Trials.open(path, {}, resume=False) as trials:
        evaluator = _evaluator(tiny_checkpoint, data, trials)
        evaluator.evaluate(every_setting(SIZE), range(IMAGES))
    return path


def _evaluator(checkpoint: Checkpoint, data: Dataset, trials: Trials) -> Evaluator:
    procedure = Procedure(get_protocol("native"), SIZE, "resize")
    return Evaluator(checkpoint.model(), data, procedure, 32, trials)


def _space(checkpoint: Checkpoint) -> Space:
    def gmacs(isr: ISR) -> float:
        return count(checkpoint.variant, CLASSES, SIZE, isr).gmacs

    return Space.of(every_setting(SIZE), gmacs)


@pytest.mark.parametrize("limit", [5.0, 8.0, 12.0, 16.0])
def test_the_pick_is_within_5_percent_of_exhaustive_search_s(
    limit: float, everything: Path, tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    space, budget = _space(tiny_checkpoint), Budget("miou-drop", limit)
    split = Split.of(IMAGES, 0.5)
    with Trials.open(everything, {}, resume=True) as trials:
        oracle = Search(space, _evaluator(tiny_checkpoint, tiny_data, trials), split, budget, 0, ())
        best = oracle.pick(space.settings)
    with Trials.open(tmp_path / "t.sqlite", {}, resume=False) as trials:
        search = Search(
            space, _evaluator(tiny_checkpoint, tiny_data, trials), split, budget, 64, ()
        )
        done = search.run()
        found = search.pick(done)
        assert len(trials) < 0.6 * len(space) * IMAGES  # and it looked at much less
    assert best is not None
    assert found is not None
    savings = [1 - space.cost[space.index[isr]] / space.cost[0] for isr in (found, best)]
    assert savings[0] >= 0.95 * savings[1]


def test_a_budget_of_cost_finds_what_exhaustive_search_finds(
    everything: Path, tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    space = _space(tiny_checkpoint)
    split = Split.of(IMAGES, 0.5)
    budget = Budget("gmacs", float(np.quantile(space.cost, 0.3)))
    with Trials.open(everything, {}, resume=True) as trials:
        oracle = Search(space, _evaluator(tiny_checkpoint, tiny_data, trials), split, budget, 0, ())
        best = oracle.pick(space.settings)
        assert best is not None
        base, most = oracle.miou([space.settings[0], best], split.every)
        with Trials.open(tmp_path / "t.sqlite", {}, resume=False) as own:
            search = replace(
                oracle, evaluator=_evaluator(tiny_checkpoint, tiny_data, own), trials=64
            )
            found = search.pick(search.run())
        assert found is not None
        (reached,) = oracle.miou([found], split.every)
    assert space.cost[space.index[found]] <= budget.limit
    assert base - reached <= 1.05 * (base - most) + 0.01


def test_the_same_trials_lead_to_the_same_settings(
    tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    made = []
    for name in ("a", "b", "a"):  # anew, anew, resumed
        with Trials.open(tmp_path / name, {}, resume=True) as trials:
            search = Search(
                _space(tiny_checkpoint), _evaluator(tiny_checkpoint, tiny_data, trials),
                Split.of(8, 0.5), Budget(), 30, (ISR.parse("paper"),),
            )  # fmt: skip
            made.append(search.run())
    assert made[0] == made[1] == made[2]
