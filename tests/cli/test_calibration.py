from __future__ import annotations

from dataclasses import replace

import pytest

from edaformer.cli.options.calibration import calibration_of
from edaformer.data import open_dataset
from edaformer.errors import DataError, InputError
from edaformer.families.checkpoint import Checkpoint

SIZE = (96, 96)
CLASSES = open_dataset("scenes:1", SIZE).classes


@pytest.fixture
def checkpoint(tiny_checkpoint: Checkpoint) -> Checkpoint:
    return replace(tiny_checkpoint, num_classes=len(CLASSES), classes=CLASSES)


@pytest.mark.parametrize(
    ("count", "limit", "calibrated", "verified"),
    [(20, None, 15, 5), (20, 8, 8, 6), (9, None, 8, 1), (8, None, 8, None), (20, 99, 20, None)],
)
def test_images_are_spread_and_some_left_to_verify_on(
    checkpoint: Checkpoint, count: int, limit: int | None, calibrated: int, verified: int | None
) -> None:
    found, others = calibration_of(f"scenes:{count}", limit, SIZE, checkpoint)
    assert len(found.images) == len(set(found.hashes)) == calibrated
    assert (None if others is None else len(others.array)) == verified
    if others is not None:
        assert not {image.tobytes() for image in others.array} & {
            image.tobytes() for image in found.images
        }


def test_what_is_no_calibration_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="1 calibration image of scenes:20 cannot say"):
        calibration_of("scenes:20", 1, SIZE, checkpoint)
    with pytest.raises(DataError, match=r"scenes:20 has 11 classes and .* predicts 5"):
        calibration_of("scenes:20", None, SIZE, replace(checkpoint, num_classes=5))
    others = replace(checkpoint, classes=("water", *CLASSES[1:]))
    with pytest.raises(DataError, match="class 0 is 'sky' in scenes:20 and 'water' in"):
        calibration_of("scenes:20", None, SIZE, others)
