"""The exam: the teacher's own labels at base, and fewer frames where there are many settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.engines.adapt.exam import Exam
from edaformer.engines.adapt.frames import Frames, find_frames
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.isr import BASE, ISR, PAPER
from tests.engines.adapt.test_frames import lay
from tests.tiny import tiny_model

SIZE = (60, 90)  # padded


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return find_frames([str(lay(tmp_path / "film", 80, SIZE))], SIZE, "opencv-bilinear")


def test_the_teacher_agrees_with_itself_and_another_as_often_as_it_does(frames: Frames) -> None:
    exam = Exam.set_by(tiny_model("base"), frames, (BASE, PAPER))
    same, other = exam.agreement(tiny_model("base"))
    assert same == 1
    segmenters = [TorchSegmenter(tiny_model(isr), 32) for isr in ("base", "paper")]
    pairs = [
        [segmenter.segment(frame[None]) for segmenter in segmenters]
        for frame in frames.examples(99)
    ]
    assert len(pairs) == len(exam.answers) == 10
    expected = sum(int((a == b).sum()) for a, b in pairs) / sum(a.size for a, _ in pairs)
    assert other == pytest.approx(expected)


@pytest.mark.parametrize(("settings", "asked"), [(1, 10), (8, 8), (20, 8)])
def test_many_settings_ask_for_fewer_frames(frames: Frames, settings: int, asked: int) -> None:
    many = [ISR.parse(text) for text in ("base", "paper")] * settings
    assert len(Exam.set_by(tiny_model("base"), frames, many[:settings]).answers) == asked
