"""What is summed over images, against a second computation that keeps them all."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable

import numpy as np
import pytest

from edaformer.data import Sample
from edaformer.engines.validate.answers import Answers
from edaformer.engines.validate.contribution import Contribution, Contributor, Worst
from edaformer.engines.validate.tally import BASE, CANDIDATE, LETTER, REFERENCE, Tally
from edaformer.evaluation.metrics import boundary_band, confusion_matrix
from edaformer.labels.decide import Decision

CLASSES, IGNORE = 4, 255


def case(seed: int, size: tuple[int, int]) -> tuple[Sample, Answers, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = np.repeat(generator.integers(0, CLASSES, (size[0], 3)), size[1] // 3, axis=1)
    reference = reference.astype(np.uint8)

    def flipped(share: float) -> np.ndarray:
        return np.where(generator.random(reference.shape) < share, 3 - reference, reference)

    truth = flipped(0.3)
    truth[0] = IGNORE
    margin = generator.exponential(1, reference.shape).astype(np.float16)
    base, other = flipped(0.2), flipped(0.1)
    image = np.zeros((*reference.shape, 3), np.uint8)
    answers = Answers(base, Decision(reference, margin), other if seed % 2 else None)
    return Sample(f"image {seed}", image, truth), answers, flipped(0.02 * seed)


CASES = [case(1, (12, 15)), case(2, (20, 9)), case(3, (7, 30))]


@pytest.fixture
def tally() -> Tally:
    return tally_of(range(len(CASES)))


def tally_of(images: Iterable[int], keep_worst: int = 2) -> Tally:
    made = Tally(CLASSES, keep_worst)
    contributor = Contributor(CLASSES, IGNORE, Worst(keep_worst))
    for at in images:
        made.add(contributor.add(at, *CASES[at]))
    return made


def test_confusions(tally: Tally) -> None:
    def total(pick) -> np.ndarray:  # type: ignore[no-untyped-def]
        return sum(confusion_matrix(s.labels, pick(*p), CLASSES, IGNORE) for s, *p in CASES)

    assert (tally.confusions[BASE] == total(lambda p, _: p.base)).all()
    assert (tally.confusions[REFERENCE] == total(lambda p, _: p.reference.labels)).all()
    assert (tally.confusions[CANDIDATE] == total(lambda _, own: own)).all()
    letter = total(lambda p, _: p.reference.labels if p.letter is None else p.letter)
    assert (tally.confusions[LETTER] == letter).all()
    assert (tally.images, tally.fitted) == (3, 2)


def test_agreement_weighs_pixels_and_not_images(tally: Tally) -> None:
    same = [own == p.reference.labels for _, p, own in CASES]
    band = np.concatenate([boundary_band(p.reference.labels).ravel() for _, p, _ in CASES])
    every = np.concatenate([one.ravel() for one in same])
    made = tally.artifact.result()
    assert made.overall == every.mean()
    assert made.worst == min(one.mean() for one in same)
    assert made.boundary == every[band].mean()


def test_margins_of_flipped_pixels(tally: Tally) -> None:
    margins = np.sort(
        np.concatenate([p.reference.margin[own != p.reference.labels] for _, p, own in CASES])
    )
    made = tally.flips.result(0.5)
    assert (made.flipped, made.ties) == (len(margins), int((margins < 0.5).sum()))
    assert made.margin_median == margins[(len(margins) - 1) // 2]
    assert made.margin_max == margins[-1]
    assert tally.flips.result(None).ties is None


def test_the_worst_images_are_kept_the_worst_first(tally: Tally) -> None:
    same = [float((own == p.reference.labels).mean()) for _, p, own in CASES]
    order = sorted(range(3), key=same.__getitem__)[:2]
    assert [shown.index for shown in tally.worst()] == order
    assert [shown.agreement for shown in tally.worst()] == [same[i] for i in order]
    assert [shown.name for shown in tally.worst()] == [CASES[i][0].name for i in order]


def test_intervals_hold_the_differences(tally: Tally) -> None:
    intervals = tally.intervals()
    assert set(intervals) == {
        "delta_isr", "delta_precision", "delta_fit", "agreement", "agreement_isr", "agreement_fit",
        "delta_adapted", "delta_deployed",
    }  # fmt: skip
    low, high = intervals["agreement"] or (1, 0)
    assert low <= tally.artifact.result().overall <= high
    assert {len(found) for found in tally.intervals_iou().values()} == {CLASSES}


def test_one_image_has_no_interval_and_no_difference_no_margin() -> None:
    sample, answers, _ = CASES[0]
    tally = Tally(CLASSES, keep_worst=0)
    contributor = Contributor(CLASSES, IGNORE, Worst(0))
    tally.add(contributor.add(0, sample, answers, answers.reference.labels))
    assert set(tally.intervals().values()) == {None}
    flips = tally.flips.result(1.0)
    assert (flips.flipped, flips.ties, flips.margin_max) == (0, 0, None)
    assert tally.worst() == ()


MANY = [case(seed, (8, 9)) for seed in range(40)]


def contributions(part: Iterable[int], keep: int) -> list[Contribution]:
    """As a process of its own makes them, sent to another."""
    contributor = Contributor(CLASSES, IGNORE, Worst(keep))
    made = [contributor.add(at, *MANY[at]) for at in part]
    return [pickle.loads(pickle.dumps(one)) for one in made]


def summed(ones: Iterable[Contribution], keep: int) -> Tally:
    made = Tally(CLASSES, keep)
    for one in ones:
        made.add(one)
    return made


def said(tally: Tally) -> str:
    """All that a result is made of, to the last digit."""
    shown = [(s.index, s.name, s.agreement, s.candidate.tobytes()) for s in tally.worst()]
    sums = [tally.confusions, tally.stored, tally.bootstrap.sums, tally.flips.counts]
    counted = (tally.images, tally.fitted, [one.tobytes().hex() for one in sums])
    agreements = [tally.adapted, tally.isr, tally.artifact]
    return repr((shown, counted, [one.result() for one in agreements], tally.intervals()))


@pytest.mark.parametrize("seed", range(8))
def test_any_split_in_any_order_gives_the_same_result(seed: int) -> None:
    generator = np.random.default_rng(seed)
    whole = said(summed(contributions(range(40), 3), 3))
    owner = generator.integers(0, 1 + seed, 40)
    parts = [[at for at in range(40) if owner[at] == part] for part in range(1 + seed)]
    arrived = [one for part in parts for one in contributions(part, 3)]
    generator.shuffle(arrived)
    assert said(summed(arrived, 3)) == whole
    tallies = [summed(contributions(part, 3), 3) for part in parts]
    for tally in tallies[1:]:
        tallies[0].merge(tally)
    assert said(tallies[0]) == whole


def test_merging_is_associative_and_does_not_mind_the_order() -> None:
    parts = [range(13), range(13, 20), range(20, 40)]
    made = set()
    for order in itertools.permutations(parts):
        first, second, third = (summed(contributions(part, 4), 4) for part in order)
        first.merge(second)
        first.merge(third)
        made.add(said(first))
        first, second, third = (summed(contributions(part, 4), 4) for part in order)
        second.merge(third)
        first.merge(second)
        made.add(said(first))
    assert len(made) == 1


def test_only_what_may_be_among_the_worst_carries_its_picture() -> None:
    carried = [one.shown is not None for one in contributions(range(40), 2)]
    assert sum(carried) < 40
    assert all(one.shown is None for one in contributions(range(40), 0))
    small = len(pickle.dumps(next(o for o in contributions(range(40), 2) if o.shown is None)))
    assert small < 8_000


def test_of_images_that_agree_alike_the_first_are_kept() -> None:
    alike = [MANY[5]] * 4
    contributor = Contributor(CLASSES, IGNORE, Worst(2))
    ones = [contributor.add(at, *one) for at, one in enumerate(alike)]
    late = Contributor(CLASSES, IGNORE, Worst(2))
    others = [late.add(at + 4, *one) for at, one in enumerate(alike)]
    assert [s.index for s in summed([*others, *ones], 2).worst()] == [0, 1]
