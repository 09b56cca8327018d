"""Settings that miss the budget, adapted: which are tried, what they become, and once only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edaformer.cli.texts.tuning import print_tuning
from edaformer.data import open_dataset
from edaformer.engines.adapt.adapt import AdaptOptions
from edaformer.engines.adapt.frames import find_frames
from edaformer.engines.tune.adapting import AdaptedTo, Adapting, candidates
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.plot import Plot, front_html, front_png
from edaformer.engines.tune.result import Point, Tuning
from edaformer.engines.tune.tune import ADAPTED, TuneOptions, tune
from edaformer.errors import InputError
from edaformer.families.adapted import Adapted
from edaformer.families.checkpoint import Checkpoint, demo_checkpoint
from edaformer.families.given import Given
from edaformer.families.table import load_checkpoint, save_adapted
from edaformer.isr import BASE, ISR, PAPER

SIZE = (96, 128)
STEPS = 6


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(demo_checkpoint())


def run(
    checkpoint: Checkpoint, out: Path, *, resume: bool = False, frames: str = "scenes:16"
) -> Tuning:
    out.mkdir(exist_ok=True)
    found = find_frames([frames], SIZE, "opencv-bilinear")
    adapting = Adapting(found, AdaptOptions(SIZE, steps=STEPS, rate=1e-4, device="cpu"), 1)
    options = TuneOptions(SIZE, Budget("gmacs", 0.169), trials=12, trust_labels=True)
    data = open_dataset("scenes:4", SIZE)
    return tune(checkpoint, data, options, out, adapting=adapting, resume=resume)


@pytest.mark.slow
def test_a_setting_is_adapted_judged_and_not_made_again(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(checkpoint, tmp_path)
    (one,) = made.adapted
    assert one.point.isr == one.before.isr
    assert (one.point.gmacs, one.point.saving) == (one.before.gmacs, one.before.saving)
    assert one.before == made.pick
    assert one.point.miou != one.before.miou
    assert one.point.change == pytest.approx(one.point.miou - made.base.miou)
    assert one.is_within
    loaded = load_checkpoint(one.checkpoint)
    assert loaded.adapted is not None
    assert loaded.adapted.isr == (str(one.point.isr),)
    assert one.checkpoint.parent == tmp_path / ADAPTED
    bytes_before = one.checkpoint.read_bytes()
    again = run(checkpoint, tmp_path, resume=True)
    assert again.adapted == made.adapted
    assert one.checkpoint.read_bytes() == bytes_before
    print_tuning(made)
    assert f"\n{one.point.isr}" in capsys.readouterr().out.split("adapted to it")[1]
    assert json.loads(json.dumps(made.to_json()))["adapted"][0]["checkpoint"] == str(one.checkpoint)
    assert len(Plot.of(made).adapted) == 1 or one.point.miou < Plot.of(made).y.least
    assert "Adapted to it" in front_html(made)
    assert front_png(made).startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"is not this checkpoint, adapted to .* on these frames"):
        run(checkpoint, tmp_path, resume=True, frames="scenes:17")


def test_what_a_person_gave_counts_for_the_adapted_checkpoint_too(tmp_path: Path) -> None:
    given = load_checkpoint(demo_checkpoint(), Given((1, 2, 3), (4, 5, 6), bgr=True))
    frames = find_frames(["scenes:8"], SIZE, "opencv-bilinear")
    record = Adapted(
        source=given.path.name, source_sha256=given.sha256, isr=(str(PAPER),), frames=8,
        frames_sha256=frames.sha256, steps=1, seed=0, tool_version="0",
    )  # fmt: skip
    save_adapted(given, given.state, record, tmp_path / f"{PAPER.slug}.safetensors")
    to = AdaptedTo(given, None, None, Budget(), {}, tmp_path)  # type: ignore[arg-type]
    loaded = Adapting(frames, AdaptOptions(SIZE), 1)._adapted(to, PAPER, print)
    assert (loaded.normalisation, loaded.bgr) == (given.normalisation, True)
    assert all(torch.equal(loaded.state[name], value) for name, value in given.state.items())


def point(isr: ISR, gmacs: float, change: float) -> Point:
    return Point(
        setting=isr, miou=80 + change, change=change, change_tuned=change, change_held=None,
        interval=None, gmacs=gmacs, saving=0.0, latency=None, latency_source=None, engine_bytes=1,
        engine_source="modelled", memory_bytes=1,
    )  # fmt: skip


def test_what_saves_most_is_tried_first_and_what_loses_too_much_is_not() -> None:
    base, pick = point(BASE, 10, 0), point(PAPER, 8, -0.4)
    near = point(ISR.parse("16,8,4,1"), 7, -1.0)
    nearer = point(ISR.parse("16,8,4,1-2,2,4"), 7.5, -0.6)
    far = point(ISR.parse("32,8,4,1"), 6, -3.0)
    front = [base, pick, nearer, near, far]
    assert candidates(Budget(limit=0.5), front, pick) == [near, nearer]
    assert candidates(Budget("gmacs", 8.0), front, pick) == [pick, nearer, near, far]
    held = replace(near, change_held=-2.5)
    assert candidates(Budget(limit=0.5), [base, pick, held], pick) == []
