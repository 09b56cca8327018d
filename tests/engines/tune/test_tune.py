from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edaformer.data import Dataset
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.device import costs as costs_module
from edaformer.engines.tune.device.devices import get_device
from edaformer.engines.tune.device.measure import ROUNDS, Measured, take_turns
from edaformer.engines.tune.device.targets import Target
from edaformer.engines.tune.plot import Axis, Plot, front_html, front_png
from edaformer.engines.tune.result import Tuning
from edaformer.engines.tune.rungs import choose_rungs
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.tune import TuneOptions, tune
from edaformer.errors import DataError, GateError, InputError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import count
from edaformer.isr import BASE, ISR
from tests.browser import needs_browser, screenshot
from tests.engines.tune.conftest import IMAGES, SIZE

LIMIT = 8.0  # points; the tiny network is touchy
Made = Callable[..., Tuning]
NANO = Target("orin-nano", "Jetson", get_device("orin-nano").ceilings, 8 * 10**9, "a sheet", None)
HERE = replace(NANO, name="this", label="this GPU", measured_on="cuda")


@pytest.fixture
def tuned(tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path) -> Made:
    few = tiny_data.head(4)

    def make(budget: Budget | None = None, data: Dataset = few, **options: Any) -> Tuning:
        resume = options.pop("resume", False)
        chosen = TuneOptions(SIZE, budget or Budget("miou-drop", LIMIT), trials=24, **options)
        return tune(tiny_checkpoint, data, chosen, tmp_path, resume=resume)

    return make


@pytest.fixture(scope="module")
def result(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Tuning:
    from edaformer.data import open_dataset

    data = open_dataset(f"folder:{tiny_folder}", SIZE)
    options = TuneOptions(SIZE, Budget("miou-drop", LIMIT), trials=30)
    return tune(tiny_checkpoint, data, options, tmp_path_factory.mktemp("out"))


def test_the_pick_keeps_its_budget_on_all_images_and_on_each_half(result: Tuning) -> None:
    pick = result.pick
    assert pick.isr != BASE
    assert pick.saving > 0
    assert pick.worst_change >= -LIMIT
    assert (result.tuned_on, result.held_out) == (IMAGES // 2, IMAGES // 2)
    assert pick.change_held is not None
    assert pick.change == pytest.approx(pick.miou - result.base.miou)
    assert pick.interval is not None
    assert pick.interval[0] <= pick.change <= pick.interval[1]


def test_nothing_on_the_front_is_beaten(result: Tuning) -> None:
    for worse in result.front:
        for other in result.front:
            if other is not worse:
                assert not (other.gmacs <= worse.gmacs and other.miou >= worse.miou)
    assert list(result.front) == sorted(result.front, key=lambda point: -point.gmacs)


def test_json(result: Tuning) -> None:
    made = json.loads(json.dumps(result.to_json()))
    assert ISR.parse(made["pick"]["isr"]) == result.pick.isr
    assert made["pick"]["isr"].count(",") == 5
    assert 0 < made["pick"]["saving"] < 1
    assert made["pick"]["miou_change"] == result.pick.change
    assert [point["isr"] for point in made["front"]] == [str(p.isr) for p in result.front]
    assert made["device"] is None
    assert made["pick"]["latency_source"] is None
    assert {place["place"] for place in made["sensitivity"]} == {
        "encoder stage 1", "encoder stage 2", "encoder stage 3", "encoder stage 4",
        "decoder c4", "decoder c3", "decoder c2",
    }  # fmt: skip
    assert made["named"][0]["name"] == "base"
    assert made["export_command"].startswith("edaformer-export tiny.pth --isr ")


def test_gmacs_are_info_s(result: Tuning, tiny_checkpoint: Checkpoint) -> None:
    for point in result.shown:
        counted = count(tiny_checkpoint.variant, 5, SIZE, point.isr)
        assert point.gmacs == counted.gmacs


def test_the_picture(result: Tuning) -> None:
    with Image.open(BytesIO(front_png(result))) as picture:
        assert picture.size == (1080, 900)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
    assert {(0x2B, 0x6C, 0xB0), (0xC6, 0x2A, 0x2F), (0x60, 0x64, 0x6C)} <= colours


def test_the_picture_s_axes_and_points_are_the_page_s(
    result: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: drawn.append(self))
    front_png(result)
    (axes,), plot = drawn[0].axes, Plot.of(result)
    assert axes.get_xlim() == (plot.x.least, plot.x.most)
    assert axes.get_ylim() == (plot.y.least, plot.y.most)
    assert [one.get_text() for one in axes.get_xticklabels()] == [text for _, text in plot.x.ticks]
    front, named, pick = axes.lines[:3]
    assert list(zip(*front.get_data(), strict=True)) == [(x, y) for x, y, _ in plot.dots]
    assert list(zip(*named.get_data(), strict=True)) == [(x, y) for x, y, _ in plot.named]
    assert [tuple(map(float, one)) for one in pick.get_data()] == [(at,) for at in plot.pick]
    page = front_html(result)
    for line in (front, named, pick):
        assert line.get_color() in page


@pytest.mark.slow
@needs_browser
def test_a_browser_shows_the_page_without_complaint(result: Tuning, tmp_path: Path) -> None:
    picture = screenshot(front_html(result), tmp_path, 500)
    for colour in ((0xF3, 0xF7, 0xFB), (0x2B, 0x6C, 0xB0), (0xC6, 0x2A, 0x2F)):  # head, front, pick
        assert (picture == colour).all(axis=2).any()


def test_the_page_needs_nothing_else(result: Tuning) -> None:
    page = front_html(result)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count(str(result.pick.isr)) >= 3
    start, end = page.index("<svg"), page.index("</svg>") + len("</svg>")
    drawn = ET.fromstring(page[start:end])
    texts = [one.text for one in drawn.iter("text")]
    assert {"base", "pick", "GMACs of a frame"} <= set(texts)
    plot = Plot.of(result)
    assert {text for _, text in (*plot.x.ticks, *plot.y.ticks)} <= set(texts)
    for dot in drawn.iter("circle"):
        assert 0 <= float(dot.attrib["cx"]) <= 360
        assert 0 <= float(dot.attrib["cy"]) <= 300


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2.5, 3.5], ["2.5", "3.0", "3.5"]),
        ([60.0, 67.0], ["60", "62", "64", "66"]),
        ([5.0, 5.3], ["5.0", "5.1", "5.2", "5.3"]),
    ],
)
def test_ticks_are_round(values: list[float], texts: list[str]) -> None:
    assert [text for _, text in Axis.over(values).ticks] == texts


def test_latency_of_another_device_is_modelled(tuned: Made) -> None:
    made = tuned(device=NANO)
    assert {point.latency_source for point in made.shown} == {"modelled"}
    assert made.device is not None
    assert made.device.source == "modelled"
    assert "a lower bound" in made.device.how
    assert "latency, ms, modelled: Jetson" in front_html(made)
    assert made.pick.latency is not None
    assert made.base.latency is not None
    assert made.pick.latency < made.base.latency


@pytest.mark.parametrize("ceilings", [NANO.ceilings, None], ids=["known", "unknown"])
def test_latency_of_this_machine_is_measured(
    ceilings: Any, tuned: Made, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ISR] = []

    def fake(
        checkpoint: Checkpoint, settings: Sequence[ISR], size: Any, *, on: str, **rest: Any
    ) -> Measured:
        assert on == "cuda"
        asked.extend(settings)
        gmacs = (count(checkpoint.variant, 5, SIZE, isr).gmacs for isr in settings)
        return Measured(
            {isr: Latency(0.1 * one, 777) for isr, one in zip(settings, gmacs, strict=True)}
        )

    monkeypatch.setattr(costs_module, "measure", fake)
    device = replace(HERE, ceilings=ceilings)
    made = tuned(device=device)
    assert {point.latency_source for point in made.front} == {"measured"}
    assert {point.engine_bytes for point in made.front} == {777}
    assert made.device is not None
    assert made.device.source == "measured"
    assert made.base.latency == pytest.approx(0.1 * made.base.gmacs)
    assert len(set(asked)) == len(asked)  # each once
    before = len(asked)
    again = tuned(device=device, resume=True)
    assert len(asked) == before  # and not again
    assert again.pick == made.pick


@pytest.mark.parametrize("spread", [0.001, 0.99])
def test_a_front_within_the_measurement_s_noise_is_said(
    spread: float, tuned: Made, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(_: Any, settings: Sequence[ISR], *rest: Any, **options: Any) -> Measured:
        gmacs = (count(tiny_checkpoint.variant, 5, SIZE, isr).gmacs for isr in settings)
        return Measured(
            {isr: Latency(one, 1, spread) for isr, one in zip(settings, gmacs, strict=True)}
        )

    monkeypatch.setattr(costs_module, "measure", fake)
    made = tuned(device=HERE)
    slowest, quickest = made.front[0].latency, made.front[-1].latency
    assert slowest is not None
    assert quickest is not None
    worth = 1 - quickest / slowest
    assert 0.001 < worth < 0.99
    told = [note for note in made.notes if "ISR is worth" in note]
    assert len(told) == (1 if spread > worth else 0)
    assert all(f"worth {worth:.1%} of a frame" in note for note in told)


def test_a_latency_budget(tuned: Made) -> None:
    free = tuned(device=NANO)
    quickest = free.front[-1].latency
    assert free.base.latency is not None
    assert quickest is not None
    limit = (free.base.latency + quickest) / 2
    made = tuned(Budget("latency", limit), device=NANO, resume=True)
    assert made.pick.latency is not None
    assert made.pick.latency <= limit
    slower = [p for p in made.front if p.miou > made.pick.miou]
    assert all(p.latency is not None and p.latency > limit for p in slower)


def test_a_budget_below_the_cheapest_is_refused_before_any_work(
    tuned: Made, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"the cheapest setting, .* takes 0\.0\d+ GMACs at 64x64"):
        tuned(Budget("gmacs", 0.001))
    with pytest.raises(InputError, match="name it with --device"):
        tuned(Budget("latency", 0.001))


def test_a_measured_budget_that_nothing_meets_is_a_gate(
    tuned: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model promises what measurement does not keep."""

    def fake(_: Any, settings: Sequence[ISR], *rest: Any, **options: Any) -> Measured:
        return Measured({isr: Latency(1.0 if isr == BASE else 0.999, 1) for isr in settings})

    monkeypatch.setattr(costs_module, "measure", fake)
    with pytest.raises(GateError, match=r"takes at most 997 ms; the cheapest, .* takes 999 ms"):
        tuned(Budget("latency", 0.997), device=HERE)


def test_few_images_are_not_split(tuned: Made, tiny_data: Dataset) -> None:
    made = tuned()
    assert (made.tuned_on, made.held_out) == (4, 0)
    assert made.pick.change_held is None
    assert any("no images are held out" in note for note in made.notes)


def test_more_images_go_on_from_fewer(tuned: Made, tiny_data: Dataset) -> None:
    tuned(holdout=0.5)
    assert tuned(data=tiny_data.head(6), resume=True).images == 6


def test_other_classes_are_refused(
    tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="use the data set it was trained on"):
        tune(replace(tiny_checkpoint, num_classes=6), tiny_data, TuneOptions(SIZE), tmp_path)


def test_trials_of_another_checkpoint_are_refused(
    tuned: Made, tiny_checkpoint: Checkpoint, tiny_data: Dataset, tmp_path: Path
) -> None:
    tuned(data=tiny_data.head(2))
    other = replace(tiny_checkpoint, sha256="1" * 64)
    with pytest.raises(
        InputError, match=r"begun with checkpoint .* name another folder with --out"
    ):
        tune(other, tiny_data, TuneOptions(SIZE), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"trials": 0}, "--trials of 1 to 100000, got 0"),
        ({"holdout": 1.0}, "--holdout from 0 to 0.9, got 1"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        TuneOptions(SIZE, **options)


def test_rungs_are_spread_over_the_front_and_hold_the_pick(result: Tuning) -> None:
    for number in range(1, len(result.front) + 1):
        chosen = choose_rungs(result, number)
        assert len(chosen) == number
        assert result.pick in chosen
        costs = [point.gmacs for point in chosen]
        assert costs == sorted(costs, reverse=True)
    ends = choose_rungs(result, 3)
    assert min(point.gmacs for point in result.front) in {point.gmacs for point in ends}
    with pytest.raises(InputError, match="the settings on the front; got 99"):
        choose_rungs(result, 99)


def test_taking_turns_gives_medians() -> None:
    calls: list[str] = []
    frames = {BASE: lambda _: calls.append("a"), ISR.parse("paper"): lambda _: calls.append("b")}
    made = take_turns(frames, seconds=0.01, warm=0.01)
    assert set(made) == set(frames)
    assert all(len(rounds) == ROUNDS for rounds in made.values())
    assert all(seconds > 0 for rounds in made.values() for one in rounds for seconds in one)
    text = "".join(calls)
    assert text.count("ab") + text.count("ba") >= 5
