from __future__ import annotations

import math

import numpy as np
import pytest

from edaformer.evaluation.metrics import (
    boundary_band,
    class_counts,
    confusion_matrix,
    iou_of_counts,
    score,
)

TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 9, 9], [2, 2, 9, 9]], np.uint8)


@pytest.mark.parametrize(
    ("predicted", "iou", "macc", "aacc"),
    [
        # everything right: void (9) is not counted
        (np.where(TRUTH == 9, 0, TRUTH), (100, 100, 100), 100, 100),
        # one of four pixels of class 0 called 1: IoU 3/4, 4/5, 1
        (np.array([[1, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]),
         (75, 80, 100), (75 + 100 + 100) / 3, 100 * 11 / 12),
        # class 2 never found
        (np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]),
         (50, 100, 0), 200 / 3, 100 * 8 / 12),
    ],
)  # fmt: skip
def test_by_hand(predicted: np.ndarray, iou: tuple[float, ...], macc: float, aacc: float) -> None:
    result = score(confusion_matrix(TRUTH, predicted.astype(np.uint8), 3, ignore_label=9))
    assert result.iou == pytest.approx(iou)
    assert (result.miou, result.macc, result.aacc) == pytest.approx((np.mean(iou), macc, aacc))


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    truth = np.zeros((2, 2), np.uint8)
    result = score(confusion_matrix(truth, truth, 3, 255))
    assert math.isnan(result.iou[1])
    assert result.miou == 100


def test_against_loops() -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 7, (13, 17)).astype(np.uint8)
    predicted = generator.integers(0, 6, (13, 17)).astype(np.uint8)
    made = confusion_matrix(truth, predicted, 6, ignore_label=6)
    slow = np.zeros((6, 6), np.int64)
    for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
        if t != 6:
            slow[t, p] += 1
    assert (made == slow).all()
    ious = [100 * slow[c, c] / (slow[c].sum() + slow[:, c].sum() - slow[c, c]) for c in range(6)]
    assert score(made).iou == pytest.approx(ious)


@pytest.mark.parametrize("wrong", ["true", "predicted"])
def test_a_label_that_is_no_class_is_an_error(wrong: str) -> None:
    good, bad = np.zeros((1, 1), np.uint8), np.full((1, 1), 3, np.uint8)
    pair = (bad, good) if wrong == "true" else (good, bad)
    with pytest.raises(ValueError, match=f"a {wrong} label is 3"):
        confusion_matrix(*pair, 3, 255)


def test_counts_are_all_that_iou_needs() -> None:
    generator = np.random.default_rng(4)
    truth, predicted = generator.integers(0, 4, (2, 9, 9)).astype(np.uint8)
    confusion = confusion_matrix(truth, predicted, 5, 255)  # class 4 is absent
    made = iou_of_counts(class_counts(confusion).astype(np.float64))
    assert made == pytest.approx(score(confusion).iou, nan_ok=True)


def test_band_by_hand() -> None:
    labels = np.zeros((4, 8), np.uint8)
    labels[:, 4:] = 1
    assert boundary_band(labels, 1).all(axis=0).tolist() == [False] * 3 + [True] * 2 + [False] * 3
    assert boundary_band(labels, 3).all(axis=0).tolist() == [False] + [True] * 6 + [False]
    assert boundary_band(labels.T, 3).all(axis=1).tolist() == [False] + [True] * 6 + [False]
    assert not boundary_band(np.zeros((4, 4), np.uint8)).any()


@pytest.mark.parametrize("shape", [(13, 17), (1, 9), (9, 1), (2, 2)])
def test_band_against_loops(shape: tuple[int, int]) -> None:
    labels = (np.random.default_rng(5).random(shape) > 0.93).astype(np.uint8)
    height, width = shape
    edge = {
        (y, x)
        for y in range(height)
        for x in range(width)
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        if 0 <= y + dy < height and 0 <= x + dx < width and labels[y, x] != labels[y + dy, x + dx]
    }
    slow = [[any(max(abs(y - a), abs(x - b)) < 3 for a, b in edge) for x in range(width)]
            for y in range(height)]  # fmt: skip
    assert boundary_band(labels, 3).tolist() == slow
