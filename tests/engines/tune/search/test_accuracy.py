from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edaformer.data import Dataset, open_dataset
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.tune.search.accuracy import Evaluator
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.validate.procedure import Procedure, decide_image
from edaformer.errors import DataError
from edaformer.evaluation.metrics import class_counts, confusion_matrix
from edaformer.evaluation.protocol import Protocol, get_protocol
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE, ISR
from tests.engines.tune.conftest import SIZE

SETTINGS = [BASE, ISR.parse("paper"), ISR.parse("16,8,4,1"), ISR.parse("8,4,2,2-1,4,4")]


def counts_one_by_one(
    checkpoint: Checkpoint, data: Dataset, procedure: Procedure, isr: ISR, at: int
) -> np.ndarray:
    """As edaformer-validate's PyTorch rows come about."""
    sample = data.load(at)
    height, width = sample.labels.shape
    segmenter = TorchSegmenter(checkpoint.model(isr), 32)
    labels = decide_image(segmenter, sample.image, procedure.passes((height, width))).labels
    return class_counts(
        confusion_matrix(sample.labels, labels, len(data.classes), data.ignore_label)
    )


@pytest.mark.parametrize(
    "procedure",
    [
        Procedure(get_protocol("native"), SIZE, "resize"),
        Procedure(get_protocol("native"), (90, 70), "resize"),
        Procedure(Protocol("windows", window=48, stride=30), None, "resize"),
        Procedure(get_protocol("native", flip=True), SIZE, "resize"),
    ],
    ids=["as it is", "resized", "windows", "flipped too"],
)
def test_counts_are_validation_s(
    procedure: Procedure, tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    settings = SETTINGS if procedure.fixed else SETTINGS[:1]
    with Trials.open(tmp_path / "t.sqlite", {}, resume=False) as trials:
        evaluator = Evaluator(tiny_checkpoint.model(), tiny_data, procedure, 32, trials)
        evaluator.evaluate(settings, (5, 2))
        for isr in settings:
            for at in (2, 5):
                expected = counts_one_by_one(tiny_checkpoint, tiny_data, procedure, isr, at)
                assert np.array_equal(trials.counts[isr][at], expected)


def test_nothing_is_tried_twice(
    tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    procedure, seen = Procedure(get_protocol("native"), SIZE, "resize"), []
    with Trials.open(tmp_path / "t.sqlite", {}, resume=False) as trials:
        evaluator = Evaluator(
            tiny_checkpoint.model(), tiny_data, procedure, 32, trials, lambda *at: seen.append(at)
        )
        evaluator.evaluate(SETTINGS[:2], (0, 1))
        evaluator.evaluate(SETTINGS[:2], (0, 1))
        assert seen == [(1, 2), (2, 2)]
        evaluator.evaluate(SETTINGS[:3], (0, 1, 2))
        assert len(trials) == 9


def test_another_image_under_the_same_name_is_refused(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
        (root / name / "00.png").write_bytes((tiny_folder / name / "00.png").read_bytes())
    (root / "classes.txt").write_bytes((tiny_folder / "classes.txt").read_bytes())
    procedure = Procedure(get_protocol("native"), SIZE, "resize")
    with Trials.open(tmp_path / "t.sqlite", {}, resume=False) as trials:
        evaluator = Evaluator(
            tiny_checkpoint.model(), open_dataset(f"folder:{root}", SIZE), procedure, 32, trials
        )
        evaluator.evaluate(SETTINGS[:1], (0,))
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / "images/00.png")
        with pytest.raises(DataError, match=r"is not the one that .* was begun with"):
            evaluator.evaluate(SETTINGS[1:2], (0,))


@pytest.mark.slow
@pytest.mark.weights
def test_counts_of_the_trained_checkpoint(
    camvid_checkpoint: Path, camvid: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(camvid_checkpoint)
    data = open_dataset(f"camvid:{camvid}", (360, 480))
    procedure = Procedure(get_protocol("native"), (360, 480), "resize")
    with Trials.open(tmp_path / "t.sqlite", {}, resume=False) as trials:
        Evaluator(checkpoint.model(), data, procedure, 32, trials).evaluate(SETTINGS, (0, 50, 100))
        for isr in SETTINGS:
            for at in (0, 100):
                expected = counts_one_by_one(checkpoint, data, procedure, isr, at)
                assert np.array_equal(trials.counts[isr][at], expected)
