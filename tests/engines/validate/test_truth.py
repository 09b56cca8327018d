"""The verdict on labels: each relabelling is found, sound truth is not doubted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edaformer.data import Dataset, open_dataset
from edaformer.data.archive import image_sha256
from edaformer.data.classes import CAMVID
from edaformer.engines.tune.search.space import every_setting
from edaformer.engines.validate.pytorch import Reference
from edaformer.engines.validate.truth import Finding, Stored, examine, stored_counts
from edaformer.evaluation.protocol import get_protocol, plan_passes
from edaformer.families.checkpoint import Checkpoint, demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from tests import camvid as camvid_runs

Relabel = Callable[[np.ndarray], np.ndarray]
COUNT, VOID = 11, CAMVID.ignore_label


def judge(counts: np.ndarray, void: int = VOID, labels: str = "as-stored") -> Finding | None:
    return examine(Stored(counts, CAMVID.classes, void, labels, CAMVID.palette))


def counted(checkpoint: Checkpoint, isr: ISR, data: Dataset, size: tuple[int, int]) -> np.ndarray:
    """(images, 256, classes)."""
    reference = Reference.of(checkpoint, isr, 32, camvid_runs.cache())
    passes = plan_passes(get_protocol("native"), size, size)
    return np.array([
        stored_counts(
            sample.labels,
            reference.decide(sample.image, image_sha256(sample.image), passes).labels,
            COUNT,
        )
        for sample in data
    ])  # fmt: skip


def moved(counts: np.ndarray, to: dict[int, int]) -> np.ndarray:
    """The counts as if the truth had been stored under other values."""
    made = np.zeros_like(counts)
    for value, other in to.items():
        made[other] += counts[value]
    return made


CLASSES = range(COUNT)
BY_COLOUR = {c: n for n, c in enumerate(sorted(CLASSES, key=lambda c: CAMVID.palette[c]))}
RELABELLED: dict[str, tuple[dict[int, int], str]] = {
    "one more, void 255": ({c: c + 1 for c in CLASSES} | {VOID: 255}, "--labels minus-one"),
    "one more, void 0": ({c: c + 1 for c in CLASSES} | {VOID: 0}, "--labels minus-one"),
    "one less": ({c: (c - 1) % 256 for c in CLASSES} | {VOID: 255}, "--labels plus-one"),
    "order of colours": (BY_COLOUR | {VOID: 255}, "--labels FILE"),
    "order of colours, black first": (
        {c: n + 1 for c, n in BY_COLOUR.items()} | {VOID: 0}, "--labels FILE",
    ),
    "sky and building": ({c: c for c in CLASSES} | {0: 1, 1: 0, VOID: 255}, "--labels FILE"),
    "road and tree": ({c: c for c in CLASSES} | {3: 5, 5: 3, VOID: 255}, "--labels FILE"),
    "three in a ring": ({c: c for c in CLASSES} | {0: 1, 1: 3, 3: 0, VOID: 255}, "--labels FILE"),
}  # fmt: skip


def roughest(checkpoint: Checkpoint, size: tuple[int, int]) -> ISR:
    return max(every_setting(size, places=checkpoint.places), key=lambda isr: sum(isr.ratios))


@pytest.mark.slow
@pytest.mark.weights
def test_camvid_at_every_roughness(camvid: Path, camvid_checkpoint: Path) -> None:
    """Each relabelling on 3, 12 and 101 images; no subset of the true labels is doubted."""
    loaded, data = load_checkpoint(camvid_checkpoint), camvid_runs.dataset(camvid)
    dice = np.random.default_rng(0)
    for isr in (loaded.places.base, roughest(loaded, (384, 480))):
        counts = counted(loaded, isr, data, camvid_runs.SIZE)
        for _ in range(100):
            some = dice.choice(len(counts), int(dice.choice([1, 3, 5, 12])), replace=False)
            assert judge(counts[some].sum(axis=0)) is None
        assert judge(counts.sum(axis=0)) is None
        for images in (3, 12, 101):
            total = counts[dice.choice(101, images, replace=False)].sum(axis=0)
            check_found(total)


@pytest.mark.slow
def test_scenes() -> None:
    demo, data = load_checkpoint(demo_checkpoint()), open_dataset("scenes:24", (128, 160))
    dice = np.random.default_rng(0)
    for isr in (demo.places.base, roughest(demo, (128, 160))):
        counts = counted(demo, isr, data, (128, 160))
        for _ in range(100):
            some = dice.choice(len(counts), int(dice.choice([1, 3, 12])), replace=False)
            assert judge(counts[some].sum(axis=0)) is None
        for images in (3, 12, 24):
            check_found(counts[:images].sum(axis=0))


def check_found(counts: np.ndarray) -> None:
    for name, (to, option) in RELABELLED.items():
        found = judge(moved(counts, to), 255)
        assert found is not None, name
        assert found.option == option, name
        assert found.as_it_is is not None
        assert found.mended is not None
        assert found.as_it_is < found.mended


def test_a_file_for_what_has_no_name() -> None:
    counts = np.zeros((256, COUNT), np.int64)
    counts[range(COUNT), range(COUNT)] = 100
    found = judge(moved(counts, RELABELLED["sky and building"][0]), 255)
    assert found is not None
    assert "'sky' and 'building' swapped" in found.text
    assert found.lines[:3] == ("0 building", "1 sky", "2 pole")


def two(stored: dict[int, tuple[int, int]]) -> Finding | None:
    """A background and a foreground: PyTorch's answers by stored value."""
    counts = np.zeros((256, 2), np.int64)
    for value, answers in stored.items():
        counts[value] = answers
    return examine(Stored(counts, ("ground", "crack"), 255))


def test_a_foreground_of_255_is_not_void() -> None:
    found = two({0: (9800, 50), 255: (60, 90)})
    assert found is not None
    assert (found.option, found.kind) == ("--labels binary", "relabelled")
    assert two({0: (9800, 50), 1: (60, 90), 255: (20, 80)}) is None  # void beside foreground
    assert two({0: (9950, 50), 1: (60, 40)}) is None  # rare, and worse in accuracy than a constant
    assert two({0: (9950, 50)}) is None  # no foreground in these images


def test_zero_for_void() -> None:
    counts = np.zeros((256, COUNT), np.int64)
    counts[range(1, COUNT), range(1, COUNT)] = 100
    counts[0, 1:] = 60
    found = judge(counts, 255)
    assert found is not None
    assert found.option == "--labels zero-void"


def test_nothing_counted_and_nothing_to_do_with_it() -> None:
    counts = np.zeros((256, COUNT), np.int64)
    counts[VOID] = 10
    found = judge(counts)
    assert found is not None
    assert found.kind == "nothing-counted"
    counts[0] = 50
    counts[2] = 10
    counts[0, 0] = 0
    found = judge(counts)
    assert found is not None
    assert found.kind == "worse-than-constant"


def test_the_option_undoes_an_option() -> None:
    counts = np.zeros((256, COUNT), np.int64)
    counts[range(COUNT - 1), range(1, COUNT)] = 100
    found = judge(counts, 255, "minus-one")
    assert found is not None
    assert found.option == "--labels as-stored"
