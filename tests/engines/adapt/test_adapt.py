"""Adapting, on the demo's network and drawn scenes: what is gained, kept, refused and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edaformer.data import open_dataset
from edaformer.engines.adapt.adapt import UNFINISHED, AdaptOptions, adapt
from edaformer.engines.adapt.frames import Frames, find_frames
from edaformer.engines.adapt.result import Adaptation
from edaformer.errors import DataError, GateError, InputError, ISRError
from edaformer.families.checkpoint import Checkpoint, demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE, ISR

SIZE = (96, 128)
HARD = ISR.parse("24,12,6,3-3,6,12")
EASIER = ISR.parse("16,8,4,2-2,4,4")
OPTIONS = AdaptOptions(SIZE, steps=12, rate=1e-4, device="cpu")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(demo_checkpoint())


@pytest.fixture(scope="module")
def frames() -> Frames:
    return find_frames(["scenes:16"], SIZE, "opencv-bilinear")


def test_labels_agree_more_often_and_the_checkpoint_is_like_any_other(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path
) -> None:
    out = tmp_path / "adapted.safetensors"
    truth = open_dataset("scenes:2", SIZE)
    made = adapt(checkpoint, (HARD,), frames, OPTIONS, out, truth=truth)
    assert made.gain > 0
    assert made.best.agreement[0] == pytest.approx(made.exams[0].agreement[0] + made.gain)
    assert [one.isr for one in made.judged] == [BASE, HARD]
    assert [exam.step for exam in made.exams] == list(range(13))
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name]
    loaded = load_checkpoint(out)
    assert loaded.adapted is not None
    assert loaded.adapted.isr == (str(HARD),)
    assert loaded.adapted.source_sha256 == checkpoint.sha256
    assert loaded.adapted.frames == 16
    assert (loaded.classes, loaded.palette, loaded.input_size) == (
        checkpoint.classes, checkpoint.palette, checkpoint.input_size,
    )  # fmt: skip
    assert not torch.equal(
        loaded.state["decoder.classify.weight"], checkpoint.state["decoder.classify.weight"]
    )


def test_a_run_that_is_cut_goes_on_to_the_same_weights(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path
) -> None:
    def run(out: Path, stop: int | None = None, *, resume: bool = False) -> Adaptation:
        def tell(progress) -> None:
            if progress.step == stop:
                raise KeyboardInterrupt

        return adapt(
            checkpoint, (HARD, EASIER), frames, replace(OPTIONS, steps=6), out, resume=resume,
            on_progress=tell,
        )  # fmt: skip

    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    run(whole)
    for stop in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            run(cut, stop, resume=True)
        assert not cut.exists()
    with pytest.raises(InputError, match="of a run that was cut; go on with --resume, or delete"):
        run(cut)
    run(cut, resume=True)
    assert cut.read_bytes() == whole.read_bytes()
    assert not (tmp_path / f"cut.safetensors{UNFINISHED}").exists()


def test_nothing_gained_is_said_and_nothing_is_written(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path
) -> None:
    out = tmp_path / "adapted.safetensors"
    with pytest.raises(GateError, match=r"nothing is gained: .* 100\.000% .*; nothing is written"):
        adapt(checkpoint, (BASE,), frames, replace(OPTIONS, steps=2), out)
    assert not list(tmp_path.iterdir())


def test_it_ends_when_nothing_is_gained_any_more(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path
) -> None:
    done: list[int] = []
    with pytest.raises(GateError, match="after 50 steps"):
        adapt(
            checkpoint, (BASE,), frames, replace(OPTIONS, steps=100), tmp_path / "a.safetensors",
            on_progress=lambda progress: done.append(progress.step),
        )  # fmt: skip
    assert done[-1] == 50  # five exams of ten


def test_minutes_become_steps(checkpoint: Checkpoint, frames: Frames, tmp_path: Path) -> None:
    seen = set()
    adapt(
        checkpoint, (HARD,), frames, replace(OPTIONS, minutes=0.02), tmp_path / "a.safetensors",
        on_progress=lambda progress: seen.add(progress.steps),
    )  # fmt: skip
    assert len(seen) == 2  # until it was known, and from then on


def test_a_setting_that_no_picture_holds_is_refused(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path
) -> None:
    with pytest.raises(ISRError, match=r"larger than its .* map at input 96x128"):
        adapt(
            checkpoint, (ISR.parse("64,8,2,1"),), frames, OPTIONS, tmp_path / "a.safetensors"
        )  # fmt: skip


def test_truth_of_other_classes_is_refused_before_anything_is_learnt(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path
) -> None:
    truth = open_dataset("scenes:2", SIZE)
    other = replace(truth, classes=truth.classes[:3])
    with pytest.raises(DataError, match=r"scenes:2 has 3 classes and .* predicts 11; use the data"):
        adapt(checkpoint, (HARD,), frames, OPTIONS, tmp_path / "a.safetensors", truth=other)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_is_too_large_names_the_option(
    checkpoint: Checkpoint, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> float:
        raise MemoryError

    monkeypatch.setattr("edaformer.engines.adapt.distil.Distiller.learn", none)
    with pytest.raises(InputError, match=r"picture of 96x128 is too large .* a smaller --crop"):
        adapt(checkpoint, (HARD,), frames, OPTIONS, tmp_path / "a.safetensors")


@pytest.mark.parametrize(("wrong", "said"), [
    ({"steps": 0}, "expected --steps from 1 to 1e"), ({"rate": 0.0}, "expected --rate from 1e-08"),
    ({"batch": 0}, "expected --batch"), ({"minutes": -1.0}, "expected --minutes"),
    ({"crop": (100, 128)}, "multiples of 32, got 100x128; use 128x128"),
])  # fmt: skip
def test_what_cannot_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AdaptOptions(SIZE, **wrong)  # type: ignore[arg-type]


def test_pictures_are_the_padded_size_within_bounds() -> None:
    assert AdaptOptions((360, 480), device="cpu").picture == (384, 480)
    assert AdaptOptions((1024, 2048), device="cpu").picture == (512, 512)
    assert AdaptOptions((1024, 2048), crop=(256, 512)).picture == (256, 512)
