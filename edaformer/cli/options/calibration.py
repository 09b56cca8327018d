"""The pictures that eight bits are calibrated on, and those beside them to verify on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edaformer.data import open_dataset
from edaformer.data.datasets import check_limit
from edaformer.engines.validate.answers import check_classes, other_name
from edaformer.errors import DataError, InputError
from edaformer.export.quantise.calibrate import MAX_IMAGES, MIN_IMAGES, Calibration
from edaformer.export.verify import Images
from edaformer.preprocess import format_size

if TYPE_CHECKING:
    from edaformer.data import Dataset, Sample
    from edaformer.families.checkpoint import Checkpoint

_VERIFIED = 8  # images that were not calibrated on


def calibration_of(
    spec: str, limit: int | None, size: tuple[int, int], checkpoint: Checkpoint
) -> tuple[Calibration, Images | None]:
    """Up to ``limit`` images spread over the data, and up to 8 of the others.

    Args:
        spec: as ``--calibrate`` has it.
        limit: None takes up to 32, and three quarters of fewer.
        size: (H, W) that the images have to be of.
        checkpoint: whose classes the data has to have.

    Raises:
        InputError: if the images are of another size.
        DataError: if the data is of other classes, or cannot be read.
    """
    data = open_dataset(spec, size, reduced=checkpoint.reduced_labels)
    check_classes(checkpoint, data)
    if limit is not None:
        check_limit(limit)
    _check_names(checkpoint, data)
    usual = min(MAX_IMAGES, max(MIN_IMAGES, 3 * len(data) // 4))  # leaves some to verify on
    count = min(limit or usual, len(data))
    chosen = [at * len(data) // count for at in range(count)]
    taken = _load(data, chosen, size)
    calibration = Calibration(_stacked(taken), tuple(one.name for one in taken), spec)
    others = [at for at in range(len(data)) if at not in chosen]
    verified = _load(data, others[:: -(-len(others) // _VERIFIED) or 1], size)
    if not verified:
        return calibration, None
    return calibration, Images(_stacked(verified), f"{len(verified)} other images of {spec}")


def _check_names(checkpoint: Checkpoint, data: Dataset) -> None:
    own = checkpoint.classes or ()
    at = other_name(own, data.classes)
    if at is not None:
        raise DataError(
            f"class {at} is '{data.classes[at]}' in {data.name} and '{own[at]}' in "
            f"{checkpoint.name}: its scenes are others; calibrate on the data set it was trained on"
        )


def _load(data: Dataset, indices: Sequence[int], size: tuple[int, int]) -> list[Sample]:
    samples = [data.load(index) for index in indices]
    for sample in samples:
        got = (sample.image.shape[0], sample.image.shape[1])
        if got != size:
            raise InputError(
                f"image {sample.name} of --calibrate is {format_size(got)} and the export is "
                f"{format_size(size)}; use --size {format_size(got)}"
            )
    return samples


def _stacked(samples: list[Sample]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([sample.image for sample in samples])
