from __future__ import annotations

import numpy as np
import pytest

from edaformer.evaluation.bootstrap import REPLICATES, Bootstrap, Weights, interval


def test_the_interval_of_a_mean_is_the_one_of_theory() -> None:
    """400 images of a figure with deviation 10: the mean's 95 % interval is 1.96 * 10 / 20 wide."""
    values = np.random.default_rng(0).normal(1000, 10, 400).astype(np.int64)
    bootstrap = Bootstrap(2)
    for index, value in enumerate(values):
        bootstrap.add(index, np.array([value, 1]))
    sums = bootstrap.replicates()
    low, high = interval(sums[:, 0] / sums[:, 1]) or (0, 0)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.12)


def test_what_is_paired_stays_paired() -> None:
    """Two figures that vary wildly but always differ by one: the difference is certain."""
    bootstrap = Bootstrap(3)
    for index, value in enumerate(np.random.default_rng(1).integers(0, 10_000, 50)):
        bootstrap.add(index, np.array([value, value + 1, 1]))
    sums = bootstrap.replicates()
    assert interval((sums[:, 1] - sums[:, 0]) / sums[:, 2]) == pytest.approx((1, 1))


def test_the_same_images_give_the_same_interval_and_memory_stays() -> None:
    def run(images: int) -> Bootstrap:
        made = Bootstrap(4)
        for index in range(images):
            made.add(index, np.arange(4) * index)
        return made

    assert (run(30).sums == run(30).sums).all()
    assert run(300).sums.nbytes == run(3).sums.nbytes == REPLICATES * 4 * 8


def test_replicates_without_an_image_are_left_out() -> None:
    bootstrap = Bootstrap(1)
    bootstrap.add(0, np.array([1]))
    assert 0 < len(bootstrap.replicates()) < REPLICATES
    assert interval(np.array([np.nan, np.inf])) is None


def test_what_an_image_weighs_is_of_its_index_alone() -> None:
    """The stream is the one that was drawn image by image, in whatever order it is asked for."""
    stream = np.random.RandomState(20240717)
    drawn = [stream.poisson(1.0, REPLICATES) for _ in range(300)]
    weights = Weights()
    for index in [0, 299, 5, 128, 63, 64, 127, *np.random.default_rng(0).permutation(300)]:
        assert (weights.of(int(index)) == drawn[index]).all()


@pytest.mark.parametrize("seed", range(5))
def test_any_parts_in_any_order_give_the_same_sums(seed: int) -> None:
    generator = np.random.default_rng(seed)
    figures = generator.integers(0, 1 << 40, (150, 3))  # far more than the pixels of a data set
    whole = Bootstrap(3)
    for index, one in enumerate(figures):
        whole.add(index, one)
    parts = [Bootstrap(3) for _ in range(4)]
    for index in generator.permutation(150):
        parts[generator.integers(4)].add(int(index), figures[index])
    first, *rest = parts
    for part in rest:
        first.merge(part)
    assert (first.sums == whole.sums).all()
    assert (first.counts == whole.counts).all()
    assert first.images == 150
