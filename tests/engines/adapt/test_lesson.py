"""What a step draws: by its number alone, within the crop, all settings in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaformer.engines.adapt.frames import Frames, find_frames
from edaformer.engines.adapt.lesson import Draw
from edaformer.isr import BASE, PAPER
from tests.engines.adapt.test_frames import lay

FILL = (124, 116, 104)


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return find_frames([str(lay(tmp_path / "film", 12, (60, 90)))], (60, 90), "opencv-bilinear")


def draw(crop: tuple[int, int] = (64, 96), batch: int = 4, seed: int = 0) -> Draw:
    return Draw(seed, batch, crop, (BASE, PAPER), FILL)


def test_a_step_is_the_same_whenever_it_is_drawn(frames: Frames) -> None:
    first, again = (draw().lessons(frames, 7) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.picture, b.picture)
        assert a.isr == b.isr
    others = [draw().lessons(frames, 8), draw(seed=1).lessons(frames, 7)]
    for other in others:
        assert not all(
            np.array_equal(a.picture, b.picture) for a, b in zip(first, other, strict=True)
        )


def test_every_setting_has_its_turn_in_a_step(frames: Frames) -> None:
    for step in range(5):
        drawn = [lesson.isr for lesson in draw().lessons(frames, step)]
        assert drawn.count(BASE) == drawn.count(PAPER) == 2


def test_whole_frames_are_padded_as_deployed_and_others_fill_the_crop(frames: Frames) -> None:
    pictures = [one.picture for step in range(12) for one in draw().lessons(frames, step)]
    assert {picture.shape for picture in pictures} == {(64, 96, 3)}
    whole = [
        picture for picture in pictures
        if (picture[60:] == FILL).all() and (picture[:, 90:] == FILL).all()
    ]  # fmt: skip
    assert len(pictures) / 4 < len(whole) < len(pictures) * 3 / 4
    known = [frames.lesson(at) for at in range(len(frames.learnt))]
    turned = known + [one[:, ::-1] for one in known]
    assert all(any(np.array_equal(one[:60, :90], k) for k in turned) for one in whole)


def test_a_crop_smaller_than_the_frame_is_cut_from_all_over_it(frames: Frames) -> None:
    pictures = [
        one.picture for step in range(8) for one in draw(crop=(32, 32)).lessons(frames, step)
    ]
    assert {picture.shape for picture in pictures} == {(32, 32, 3)}
    assert not any((picture == FILL).all(axis=2).any() for picture in pictures)
