from __future__ import annotations

import numpy as np
import pytest

from edaformer.evaluation.bootstrap import REPLICATES, Bootstrap, interval


def test_the_interval_of_a_mean_is_the_one_of_theory() -> None:
    """400 images of a figure with deviation 10: the mean's 95 % interval is 1.96 * 10 / 20 wide."""
    values = np.random.default_rng(0).normal(1000, 10, 400).astype(np.int64)
    bootstrap = Bootstrap(2)
    for value in values:
        bootstrap.add(np.array([value, 1]))
    sums = bootstrap.replicates()
    low, high = interval(sums[:, 0] / sums[:, 1]) or (0, 0)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.12)


def test_what_is_paired_stays_paired() -> None:
    """Two figures that vary wildly but always differ by one: the difference is certain."""
    bootstrap = Bootstrap(3)
    for value in np.random.default_rng(1).integers(0, 10_000, 50):
        bootstrap.add(np.array([value, value + 1, 1]))
    sums = bootstrap.replicates()
    assert interval((sums[:, 1] - sums[:, 0]) / sums[:, 2]) == pytest.approx((1, 1))


def test_the_same_images_give_the_same_interval_and_memory_stays() -> None:
    def run(images: int) -> Bootstrap:
        made = Bootstrap(4)
        for index in range(images):
            made.add(np.arange(4) * index)
        return made

    assert (run(30).sums == run(30).sums).all()
    assert run(300).sums.nbytes == run(3).sums.nbytes == REPLICATES * 4 * 8


def test_replicates_without_an_image_are_left_out() -> None:
    bootstrap = Bootstrap(1)
    bootstrap.add(np.array([1]))
    assert 0 < len(bootstrap.replicates()) < REPLICATES
    assert interval(np.array([np.nan, np.inf])) is None
