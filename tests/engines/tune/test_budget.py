from __future__ import annotations

import numpy as np
import pytest

from edaformer.engines.tune.budget import Budget, parse_milliseconds
from edaformer.errors import InputError

COST = np.array([10.0, 8.0, 7.0, 6.0])
MIOU = np.array([70.0, 70.1, 69.6, 69.0])
DROP = np.array([0.0, 0.0, 0.6, 1.0])  # the worst of several, hence not what mIoU says


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget("miou-drop", 0.5), 1),
        (Budget("miou-drop", 0.7), 2),
        (Budget("miou-drop", 1.0), 3),
        (Budget("miou-drop", 0.0), 1),
        (Budget("gmacs", 9.0), 1),
        (Budget("gmacs", 7.0), 2),
        (Budget("latency", 6.0), 3),
        (Budget("gmacs", 5.0), None),
    ],
)
def test_pick(budget: Budget, expected: int | None) -> None:
    assert budget.pick(COST, MIOU, DROP) == expected


def test_of_equal_cost_the_more_accurate_and_the_other_way_round() -> None:
    cost, miou, drop = np.array([2.0, 1.0, 1.0]), np.array([70.0, 69.8, 69.9]), np.zeros(3)
    assert Budget("miou-drop", 1).pick(cost, miou, drop) == 2
    assert Budget("gmacs", 3).pick(cost, np.array([69.0, 70, 70]), drop) == 1


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(), "at most 0.5 points of mIoU lost"),
        (Budget("latency", 0.008), "at most 8 ms"),
        (Budget("gmacs", 70), "at most 70 GMACs"),
    ],
)
def test_text(budget: Budget, text: str) -> None:
    assert budget.text == text


@pytest.mark.parametrize("limit", [-1, float("nan"), float("inf")])
def test_limits_that_are_none(limit: float) -> None:
    with pytest.raises(InputError, match="--max-miou-drop of 0 or more"):
        Budget("miou-drop", limit)


@pytest.mark.parametrize(("text", "seconds"), [("8ms", 0.008), ("8.5", 0.0085), (" 12 ms ", 0.012)])
def test_milliseconds(text: str, seconds: float) -> None:
    assert parse_milliseconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "fast", "8s", "-1ms", "1e3"])
def test_no_milliseconds(text: str) -> None:
    with pytest.raises(InputError, match="such as 8ms"):
        parse_milliseconds(text)
