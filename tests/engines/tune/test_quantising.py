"""Parts in eight bits, searched together with ISR: both precisions in one front."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaformer.cli.texts.tuning import print_tuning
from edaformer.data import FileDataset, open_dataset
from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.run.ladder_index import read_index
from edaformer.engines.segmenters.onnx import OnnxSegmenter
from edaformer.engines.spread.spread import Spread
from edaformer.engines.tune import quantising as quantising_module
from edaformer.engines.tune import tune as tune_module
from edaformer.engines.tune.adapting import candidates
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.device import costs as costs_module
from edaformer.engines.tune.device.devices import get_device
from edaformer.engines.tune.device.measure import Measured
from edaformer.engines.tune.device.table import layer_table, weighed
from edaformer.engines.tune.device.targets import Target
from edaformer.engines.tune.plot import Plot, front_html, front_png
from edaformer.engines.tune.quantising import FOLDER, Quantising, builder_for
from edaformer.engines.tune.result import PartsAlone, Tuning
from edaformer.engines.tune.rungs import make_ladder
from edaformer.engines.tune.search.rows import Built, Latency
from edaformer.engines.tune.search.setting import InEightBits, Setting, isr_of, parts_of
from edaformer.engines.tune.tune import TRIALS_FILE, TuneOptions, tune
from edaformer.errors import DataError, InputError
from edaformer.evaluation.metrics import class_counts, confusion_matrix
from edaformer.export.exporter import ExportResult
from edaformer.export.quantise.calibrate import Calibration
from edaformer.export.quantise.parts import Part
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE, ISR
from edaformer.machine import backend
from edaformer.machine.backend import Backend
from tests.engines.tune.conftest import SIZE

pytestmark = pytest.mark.slow  # an export takes seconds
MB = 1_000_000
LIMIT = 12.0  # points; the tiny network is touchy
BUILDER = Backend("tensorrt-rtx", "9.9.9")
KERNELS: Mapping[Part, int] = {"attention": 20, "mlp": 0, "embed": 1, "projections": 2}
TRAFFIC: Mapping[Part, int] = {"attention": -5, "mlp": -9, "embed": 3, "projections": -50}
NANO = Target("orin-nano", "Jetson", get_device("orin-nano").ceilings, 8 * 10**9, "a sheet", None)
ADA = replace(NANO, name="rtx-4090")
THERE = replace(NANO, name="ssh://orin", measured_on="cuda", host="ssh://orin")
HEAVIER = "heavier than FP16: 271 kernels where FP16 has 270, 217.0 MB moved where it moves 214.0"


def table(path: Path, chosen: Backend, *, half: bool = False) -> Built:
    """As of a builder for which MLPs and attention pay, and nothing else does."""
    assert chosen is BUILDER
    manifest = read_onnx_manifest(path)
    isr, own = manifest.isr_value, manifest.quantised
    assert own is not None
    parts = () if half else own.parts
    pooled = sum(np.log2(np.array(isr.ratios) / isr.places.base.ratios))
    traffic = 214 - 3 * pooled + sum(TRAFFIC[part] for part in parts)
    if len(parts) == 3:
        traffic += 20
    kernels = 270 + sum(KERNELS[part] for part in parts)
    fused = 20 if parts == ("projections",) else 22
    return Built(kernels, round(MB * traffic), fused, len(parts), 10 * MB)


def pictures() -> Calibration:
    images = natural_noise(8, SIZE, seed=7)
    return Calibration(images, tuple(f"noise {at}" for at in range(8)), "folder:noise")


def asked(*parts: Part, **changes: Any) -> Quantising:
    """Random weights decide no pixel clearly, so their exports' labels are not judged."""
    made = Quantising("int8", parts, pictures(), None, min_agreement=0.0, builder=BUILDER)
    return replace(made, **changes)


@dataclass(frozen=True)
class Bench:
    """What is tuned, and where."""

    checkpoint: Checkpoint
    folder: Path  # of the data
    out: Path

    def tune(self, quantising: Quantising | None, *, count: int = 6, **more: Any) -> Tuning:
        budget, device = more.pop("budget", Budget("miou-drop", LIMIT)), more.pop("device", None)
        self.out.mkdir(exist_ok=True)
        return tune(
            self.checkpoint, open_dataset(f"folder:{self.folder}", SIZE).head(count),
            TuneOptions(SIZE, budget, device, trials=12), self.out, quantising=quantising, **more,
        )  # fmt: skip

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.out / TRIALS_FILE)) as trials:
            return trials.execute(query).fetchall()


@contextmanager
def few_exports() -> Iterator[pytest.MonkeyPatch]:
    """That builder, and base and the pick alone are crossed: an export takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs_module, "layer_table", table)
        patch.setattr(quantising_module, "MOST_EXPORTED", 1)
        patch.setattr(tune_module, "names_of", lambda places: {places.base: "base"})
        yield patch


@pytest.fixture
def bench(tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path: Path) -> Iterator[Bench]:
    with few_exports():
        yield Bench(tiny_checkpoint, tiny_folder, tmp_path / "out")


QUANTISING = asked("attention", "mlp", "embed")


@pytest.fixture(scope="module")
def finished(
    tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bench, Tuning]:
    made = Bench(tiny_checkpoint, tiny_folder, tmp_path_factory.mktemp("both") / "out")
    with few_exports():
        return made, made.tune(QUANTISING)


@pytest.fixture(scope="module")
def result(finished: tuple[Bench, Tuning]) -> Tuning:
    return finished[1]


def alone(result: Tuning) -> dict[str, PartsAlone]:
    assert result.quantised is not None
    return {one.parts: one for one in result.quantised.alone}


def test_both_precisions_are_in_one_front(result: Tuning) -> None:
    assert result.base.setting == BASE
    assert result.across == "traffic"
    assert {point.precision for point in result.shown} == {"fp16", "int8"}
    for point in result.shown:
        assert point.built is not None
        assert set(parts_of(point.setting)) <= {"attention", "mlp"}
    pick = result.pick
    assert isinstance(pick.setting, InEightBits)
    assert pick.setting.parts == ("attention", "mlp")  # together: each of them pays
    assert pick.worst_change >= -LIMIT
    costs = [one.built.traffic_bytes for one in result.front if one.built is not None]
    assert costs == sorted(costs, reverse=True)
    assert pick.built is not None
    allowed = [p for p in result.front if p.worst_change >= -LIMIT]
    assert pick.built.traffic_bytes == min(p.built.traffic_bytes for p in allowed if p.built)


def test_parts_alone_and_what_is_left_out(result: Tuning) -> None:
    found = alone(result)
    assert list(found) == ["attention", "mlp", "embed", "attention, mlp, embed"]
    for parts in ("embed", "attention, mlp, embed"):
        assert found[parts].point is None
        assert str(found[parts].why_not).startswith("heavier than FP16: ")
    assert str(found["embed"].why_not) == f"{HEAVIER} MB"
    single = found["mlp"].point
    assert found["mlp"].why_not is None
    assert single is not None
    assert single.built is not None
    assert single.built.traffic_bytes == 205 * MB
    assert single.change == pytest.approx(single.miou - result.base.miou)
    settings = {str(setting): reason for setting, reason in result.refused}
    assert settings[f"{BASE} int8 embed"] == f"{HEAVIER} MB"


def test_what_is_tried_is_the_file_that_is_exported(finished: tuple[Bench, Tuning]) -> None:
    bench, _ = finished
    (file,) = (bench.out / FOLDER).rglob(f"*_base_{SIZE[0]}x{SIZE[1]}_int8_mlp.onnx")
    data = open_dataset(f"folder:{bench.folder}", SIZE)
    segmenter = OnnxSegmenter(file, provider="cpu")
    query = f"SELECT at, counts FROM trials WHERE isr LIKE '{BASE} int8 mlp %' AND at IN (0, 5)"
    rows = bench.rows(query)
    assert len(rows) == 2
    for at, counts in rows:
        sample = data.load(at)
        labels = segmenter.segment(sample.image[None])[0]
        confusion = confusion_matrix(sample.labels, labels, len(data.classes), data.ignore_label)
        tried = np.frombuffer(counts, "<i8").reshape(3, -1)
        assert np.array_equal(tried, class_counts(confusion))


def test_the_line_that_exports_it_and_the_record(result: Tuning) -> None:
    pick = result.pick
    words = shlex.split(result.export_command)
    told = {name: words[words.index(name) + 1] for name in words if name.startswith("--")}
    assert told == {
        "--isr": str(pick.isr), "--size": "64x64", "--precision": "int8",
        "--quantise": "attention,mlp", "--calibrate": "folder:noise", "--min-agreement": "0",
    }  # fmt: skip
    kept = json.loads(json.dumps(result.to_json()))
    assert (kept["pick"]["precision"], kept["pick"]["quantised"]) == ("int8", ["attention", "mlp"])
    assert pick.built is not None
    assert kept["pick"]["traffic_bytes"] == pick.built.traffic_bytes
    assert kept["quantised"]["calibrate"] == "folder:noise"
    digests = [image["sha256"] for image in kept["quantised"]["calibration_images"]]
    assert digests == list(pictures().hashes)


def test_it_is_told(result: Tuning, capsys: pytest.CaptureFixture[str]) -> None:
    print_tuning(result)
    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    assert printed.startswith(f"{result.pick.setting}\n")
    assert "int8: attention, mlp; the rest fp16" in text
    assert "no GPU was asked, so what it saves in time is not known" in text
    assert f"embed: {HEAVIER} MB" in text
    assert "none of which is judged" in text
    assert "the pick takes 20 kernels more than FP16 at its ISR and moves less" in text
    plot = Plot.of(result)
    assert plot.label.startswith("MB that all kernels read and write")
    assert {point.precision for _, _, point in plot.eight} == {"int8"}
    page = front_html(result)
    assert page.count("<polygon") == len(plot.eight)
    assert "Parts in int8 at base" in page
    assert f"embed: {HEAVIER} MB" in page
    assert front_png(result).startswith(b"\x89PNG")


def test_what_is_in_eight_bits_is_not_adapted_to(result: Tuning) -> None:
    found = candidates(Budget("miou-drop", 100.0), result.front, result.base)
    assert all(point.precision == "fp16" for point in found)


def test_a_ladder_s_rungs_are_in_their_precision(
    finished: tuple[Bench, Tuning], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "is_installed", lambda _: False)  # 64x64 fuses no attention
    bench, result = finished
    made = make_ladder(bench.checkpoint, result, 2, tmp_path / "ladder", quantising=QUANTISING)
    rungs = [read_onnx_manifest(rung.artifact) for rung in read_index(made.index).rungs]
    for manifest, (point, _) in zip(rungs, made.artifacts, strict=True):
        parts = () if manifest.quantised is None else manifest.quantised.parts
        assert (manifest.isr, parts) == (str(point.isr), parts_of(point.setting))
    assert {manifest.precision for manifest in rungs} >= {"int8"}
    said = json.loads(made.index.read_text())["rungs"]
    assert [rung["quantised"] for rung in said] == [
        list(parts_of(point.setting)) for point, _ in made.artifacts
    ]


def test_it_goes_on_without_exporting_or_building_again(finished: tuple[Bench, Tuning]) -> None:
    bench, result = finished

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("made again")

    with few_exports() as patch:
        patch.setattr(quantising_module, "make_artifact", never)
        patch.setattr(costs_module, "layer_table", never)
        again = bench.tune(QUANTISING, resume=True)
        assert replace(again, seconds=0.0) == replace(result, seconds=0.0)
        other = replace(QUANTISING, min_agreement=0.1)  # and what depends on it is another's
        with pytest.raises(AssertionError, match="made again"):
            bench.tune(other, resume=True)


def test_a_damaged_export_is_made_again(finished: tuple[Bench, Tuning]) -> None:
    bench, result = finished
    (file,) = (bench.out / FOLDER).rglob("*_base_*_int8_mlp.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with few_exports():
        again = bench.tune(QUANTISING, resume=True)
    assert file.read_bytes() == whole
    assert again.pick == result.pick


def test_where_nothing_pays_the_front_is_fp16_s(bench: Bench) -> None:
    made = bench.tune(asked("embed"))
    half = bench.tune(None, resume=True)
    assert made.front == half.front
    assert made.pick == half.pick
    assert made.across == "GMACs"
    assert made.named[0].built is None
    assert "--precision" not in made.export_command
    assert alone(made)["embed"].why_not == f"{HEAVIER} MB"
    assert "no part pays in int8 here: the front is of FP16 alone" in made.notes


def test_what_a_build_would_refuse_is_not_proposed(bench: Bench) -> None:
    """However little it moves."""
    made = bench.tune(asked("projections"))
    assert alone(made)["projections"].why_not == (
        "attention is fused in 20 blocks where FP16 has 22, which edaformer-build refuses"
    )
    assert made.pick.precision == "fp16"


def test_an_export_that_does_not_verify_is_left_out(bench: Bench) -> None:
    made = bench.tune(asked("mlp", min_agreement=1.0))
    assert "labels agree on at least 100" in str(alone(made)["mlp"].why_not)
    assert made.pick.precision == "fp16"
    assert not list(bench.out.rglob("*.onnx"))


def test_two_processes_find_what_one_does(finished: tuple[Bench, Tuning], tmp_path: Path) -> None:
    first, result = finished
    bench, spread = replace(first, out=tmp_path / "spread"), Spread("processes", 2)
    shutil.copytree(first.out / FOLDER, bench.out / FOLDER)
    with few_exports():
        made = bench.tune(QUANTISING, spread=spread)
    assert replace(made, seconds=0.0) == replace(result, seconds=0.0)
    query = "SELECT * FROM trials ORDER BY isr, at"
    assert bench.rows(query) == first.rows(query)


def test_what_is_calibrated_on_is_not_judged(bench: Bench) -> None:
    data = open_dataset(f"folder:{bench.folder}", SIZE)
    assert isinstance(data, FileDataset)
    eight = [data.load(at) for at in range(2, 10)]
    shared = Calibration(
        np.stack([one.image for one in eight]), tuple(one.name for one in eight), data.name
    )
    quantising = asked("mlp", calibration=shared)
    judged = quantising.judged(data.head(12))
    assert [judged.name_of(at) for at in range(len(judged))] == ["00", "01", "10", "11"]
    assert [sample.name for sample in judged.head(3)] == ["00", "01", "10"]
    assert judged.classes == data.classes
    with pytest.raises(DataError, match=r"all 5 images of .* are calibrated on"):
        quantising.judged(replace(data, pairs=data.pairs[3:8]))


@pytest.mark.parametrize(
    ("precision", "budget", "device", "told"),
    [
        ("int8", Budget("gmacs", 1.0), None, "of which int8 has as many"),
        ("int8", Budget("latency", 0.01), NANO, "the model knows no eight bits"),
        ("fp8", Budget(), NANO, "compute capability 8.9 and later, which Jetson is not"),
        ("int8", Budget(), replace(NANO, measured_on="cpu"), "on a CPU int8 runs as it is written"),
    ],
)
def test_what_eight_bits_cannot_be_weighed_by(
    precision: Any, budget: Budget, device: Target | None, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        builder_for(precision, budget, device)


@pytest.mark.parametrize(
    ("device", "latency", "builds"),
    [(None, None, True), (ADA, None, True), (THERE, Budget("latency", 0.01), False)],
)
def test_who_weighs(
    device: Target | None, latency: Budget | None, builds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "use", lambda _: BUILDER)
    assert (builder_for("fp8", latency or Budget(), device) is BUILDER) is builds


def test_a_device_is_asked_where_it_can_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """There time decides, and what the device refuses is left out with its reason."""
    wanted: list[Setting] = []

    def there(
        _: Any, settings: Sequence[Setting], size: Any, *, host: str, graphs: Any, **rest: Any
    ) -> Measured:
        wanted.extend(settings)
        times: dict[Setting, Latency] = {}
        for one in settings:
            eight = isinstance(one, InEightBits)
            assert not eight or graphs[one].is_file()
            pooled = sum(np.log2(np.array(one.ratios) / BASE.ratios))
            quicker = {("mlp",): 2.0, ("attention",): -1.0}.get(parts_of(one), 0.0)
            times[one] = Latency((20 - pooled - quicker) * 1e-3, 7)
        refused = {one: "it has no such kernel" for one in settings
                   if "embed" in parts_of(one) or one == refused_in_fp16}  # fmt: skip
        return Measured({one: t for one, t in times.items() if one not in refused}, refused)

    refused_in_fp16 = ISR.parse("16,8,4,2-2,4,8")  # all there is: always on the front
    monkeypatch.setattr(costs_module, "measure_there", there)
    made = bench.tune(asked("attention", "mlp", "embed", builder=None), device=THERE)
    assert made.across == "latency"
    assert len(set(wanted)) == len(wanted)
    found = alone(made)
    assert found["embed"].why_not == "it has no such kernel"
    assert found["attention"].why_not == "no quicker than FP16: 21.000 ms where it takes 20.000"
    assert found["mlp"].point is not None
    assert found["mlp"].point.latency == pytest.approx(0.018)
    assert {point.latency_source for point in made.shown} == {"measured"}
    assert {parts_of(point.setting) for point in made.front} == {(), ("mlp",)}
    assert isr_of(made.pick.setting) == made.pick.isr
    assert refused_in_fp16 in wanted
    assert refused_in_fp16 not in {point.isr for point in made.front}
    print_tuning(made)


def test_a_layer_table_is_what_a_build_says(int8_export: ExportResult, tmp_path: Path) -> None:
    chosen = backend.use("tensorrt-rtx")
    options = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)
    built = build_engine(int8_export.path, tmp_path / "x.plan", options)
    half, eight = (layer_table(int8_export.path, chosen, half=one) for one in (True, False))
    assert built.weighed is not None
    assert eight.file_bytes == pytest.approx(built.record.plan_bytes, rel=1e-4)  # but for its name
    assert replace(built.weighed, scratch_bytes=(None, None)) == weighed(half, eight)
