"""Who gets which unit, and what a death costs."""

from __future__ import annotations

import numpy as np
import pytest

from edaformer.engines.spread.ledger import DEATHS, Ledger


def test_units_are_given_in_their_order_and_no_more_than_may_be_in_hand() -> None:
    ledger = Ledger.of(range(5), ahead=1)
    assert [ledger.next_for(0) for _ in range(3)] == [0, 1, None]
    assert ledger.next_for(1) == 2
    ledger.done(0, 0)
    assert ledger.next_for(0) == 3


def test_after_a_death_each_unit_in_hand_is_given_to_free_hands() -> None:
    ledger = Ledger.of(range(6), ahead=2)
    assert [ledger.next_for(0) for _ in range(3)] == [0, 1, 2]
    assert ledger.next_for(1) == 3
    assert ledger.died(0) is None
    assert ledger.next_for(1) is None  # it has 3 in hand
    assert [ledger.next_for(0), ledger.next_for(0)] == [0, None]  # alone
    ledger.done(1, 3)
    assert [ledger.next_for(1), ledger.next_for(1)] == [1, None]
    ledger.done(1, 1)
    assert ledger.next_for(1) == 2


def test_the_unit_that_kills_is_named_and_its_neighbour_is_not() -> None:
    ledger = Ledger.of(range(2), ahead=1)
    assert [ledger.next_for(0), ledger.next_for(0)] == [0, 1]
    assert ledger.died(0) is None
    for _ in range(DEATHS - 2):
        assert ledger.next_for(0) == 0
        assert ledger.died(0) is None
        assert ledger.next_for(0) == 1
        ledger.done(0, 1)
    assert ledger.next_for(0) == 0
    assert ledger.died(0) == 0


def test_after_a_failure_nothing_later_is_begun() -> None:
    ledger = Ledger.of(range(9), ahead=0)
    assert [ledger.next_for(member) for member in range(3)] == [0, 1, 2]
    ledger.done(2, 2)
    ledger.failed[2] = ValueError()
    assert ledger.next_for(2) is None
    assert not ledger.is_over
    ledger.done(0, 0)
    ledger.done(1, 1)
    assert ledger.is_over


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_every_unit_is_done_once(seed: int) -> None:
    generator = np.random.default_rng(seed)
    ledger, done = Ledger.of(range(60), ahead=int(generator.integers(3))), []
    while not ledger.is_over:
        for member in range(4):
            while ledger.next_for(member) is not None:
                pass
        member = int(generator.choice([m for m, held in ledger.in_hand.items() if held]))
        innocent = max(ledger.deaths[number] for number in ledger.in_hand[member]) < DEATHS - 1
        if generator.random() < 0.3 and innocent:
            assert ledger.died(member) is None
        else:
            number = int(generator.choice(ledger.in_hand[member]))
            ledger.done(member, number)
            done.append(number)
    assert sorted(done) == list(range(60))
