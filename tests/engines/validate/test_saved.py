"""A validation by a reference file is the validation by PyTorch, to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edaformer.data import DataRecord, Sample, open_dataset
from edaformer.data.archive import write_archive
from edaformer.engines.validate.answers import Answers, Setting
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.reports.junit import junit_xml
from edaformer.engines.validate.reports.page import html_report
from edaformer.engines.validate.saved import SavedAnswers, Saving
from edaformer.engines.validate.validate import compare, validate
from edaformer.engines.validate.validation import Validation
from edaformer.errors import DataError, InputError
from edaformer.evaluation.protocol import FitName, get_protocol
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from edaformer.labels.decide import Decision
from tests.conftest import ROOT
from tests.families.segformer.hugging import CLASSES, save_folder
from tests.folder import lay_folder
from tests.once import once

LOOSE = Gates(max_miou_drop=50.0, min_agreement=0.5, trust_labels=True)
SIZE, OTHER, TRACED = (64, 96), (80, 100), (128, 192)


class Case(NamedTuple):
    family: str
    outputs: tuple[str, ...]
    protocol: str
    fit: FitName | None
    dynamic: bool = False
    flip: bool = False
    frames: bool = False


CASES = [
    Case("edaformer", ("labels",), "native", "resize"),
    Case("edaformer", ("labels",), "native", "pad"),
    Case("edaformer", ("logits",), "native", "slide", frames=True),
    Case("edaformer", ("logits",), "ade20k", None, dynamic=True),
    Case("edaformer", ("logits",), "cityscapes", None, dynamic=True),
    Case("segformer", ("labels",), "ade20k", "pad", frames=True),
    Case("segformer", ("labels",), "cityscapes", "resize"),
    Case("segformer", ("logits",), "native", "slide", flip=True),
]


def everything(result: Validation) -> tuple[str, str, bytes]:
    """All that is printed and written."""
    return json.dumps(result.to_json()), html_report(result), junit_xml(result)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three noise images, one of another size than the exports'."""
    generator = np.random.default_rng(0)
    pairs = []
    for index, size in enumerate((SIZE, OTHER, SIZE)):
        labels = generator.integers(0, 6, size).astype(np.uint8)
        labels[labels == 5] = 255
        pairs.append((natural_noise(index + 1, size)[index], labels))
    return lay_folder(tmp_path_factory.mktemp("data"), pairs, CLASSES)


@pytest.fixture(scope="module")
def models(shared: Path, tiny_checkpoint: Checkpoint) -> dict[str, Checkpoint]:
    folder = once(shared, "saved_segformer", lambda: save_folder(shared / "saved_segformer"))
    return {"edaformer": tiny_checkpoint, "segformer": load_checkpoint(folder)}


def exported(case: Case, models: dict[str, Checkpoint], shared: Path) -> Path:
    checkpoint = models[case.family]
    ratios = "16,8,4,1-2,4,8" if case.family == "edaformer" else "16,8,4,1"
    options = ExportOptions(
        isr=ISR.parse(ratios, checkpoint.places), size=TRACED if case.dynamic else SIZE,
        dynamic_size=case.dynamic,
        outputs=case.outputs,  # type: ignore[arg-type]
    )  # fmt: skip
    path = shared / f"saved_{case.family}_{'_'.join(case.outputs)}_{case.dynamic}.onnx"
    return once(shared, path.name, lambda: export_model(checkpoint, options, path)).path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_file_gives_what_pytorch_gives(
    case: Case, models: dict[str, Checkpoint], data: Path, shared: Path, tmp_path: Path
) -> None:
    artifact = exported(case, models, shared)
    dataset = open_dataset(f"folder:{data}", SIZE)
    protocol = get_protocol(case.protocol, flip=case.flip)
    path = tmp_path / "street.ref"
    live = validate(
        artifact, models[case.family], dataset, gates=LOOSE, protocol=protocol, fit=case.fit,
        frames=case.frames, save=path,
    )  # fmt: skip
    assert live.agreement.overall > 0.9
    assert (live.letter is not None) == (not case.dynamic)
    assert (live.frames is not None) == case.frames
    for workers in (0, 2):
        with SavedAnswers(path, workers=workers) as answers:
            assert everything(compare(artifact, answers, gates=LOOSE)) == everything(live)


def test_at_base_isr_the_labels_are_stored_once(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    artifact = tmp_path / "base.onnx"
    export_model(tiny_checkpoint, ExportOptions(size=SIZE), artifact)
    dataset = open_dataset(f"folder:{data}", SIZE).head(1)
    path = tmp_path / "base.ref"
    live = validate(artifact, tiny_checkpoint, dataset, gates=LOOSE, save=path)
    with SavedAnswers(path) as answers:
        assert everything(compare(artifact, answers, gates=LOOSE)) == everything(live)
        assert [one.planes for one in answers.records] == [
            ("truth", "labels", "margin.low", "margin.high")
        ]


def test_without_images_the_data_set_is_looked_in(
    models: dict[str, Checkpoint], data: Path, shared: Path, tmp_path: Path
) -> None:
    artifact, path = exported(CASES[0], models, shared), tmp_path / "street.ref"
    dataset = open_dataset(f"folder:{data}", SIZE)
    live = validate(
        artifact, models["edaformer"], dataset, gates=LOOSE, save=path, with_images=False
    )
    with SavedAnswers(path) as answers:
        assert not answers.has_images
        with pytest.raises(DataError, match="was made without images; name the data"):
            compare(artifact, answers)
        with pytest.raises(DataError, match=r"is of 3 images and .* holds 2"):
            answers.look_in(dataset.head(2))
        answers.look_in(dataset)
        assert everything(compare(artifact, answers, gates=LOOSE)) == everything(live)
        answers.look_in(open_dataset("scenes:3", SIZE))
        with pytest.raises(DataError, match=r"image 0 of scenes:3 is not 0 of .*pixels differ"):
            compare(artifact, answers)
    with pytest.raises(DataError, match="was made without images"):
        open_dataset(f"reference:{path}", SIZE)


def test_a_reference_is_data_where_data_is_taken(
    models: dict[str, Checkpoint], data: Path, shared: Path, tmp_path: Path
) -> None:
    artifact, path = exported(CASES[0], models, shared), tmp_path / "street.ref"
    dataset = open_dataset(f"folder:{data}", SIZE)
    validate(artifact, models["edaformer"], dataset, gates=LOOSE, save=path)
    made = open_dataset(f"reference:{path}", SIZE)
    assert (made.classes, made.ignore_label, made.protocol) == (CLASSES, 255, "native")
    for own, theirs in zip(made, dataset, strict=True):
        assert own.name == theirs.name
        np.testing.assert_array_equal(own.image, theirs.image)
        np.testing.assert_array_equal(own.labels, theirs.labels)
    assert len(made.head(2)) == 2


@pytest.fixture(scope="module")
def honest(
    models: dict[str, Checkpoint],
    data: Path,
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """The head of a reference for the first case."""
    path = tmp_path_factory.mktemp("honest") / "street.ref"
    validate(
        exported(CASES[0], models, shared), models["edaformer"],
        open_dataset(f"folder:{data}", SIZE), gates=LOOSE, save=path,
    )  # fmt: skip
    with SavedAnswers(path) as answers:
        return answers.setting.model_dump(mode="json")


def one_image(path: Path, head: dict[str, Any]) -> Path:
    with write_archive(path, "reference") as archive:
        archive.about = head
        plane = np.zeros(SIZE, np.uint8)
        names = ("truth", "labels", "margin.low", "margin.high", "base")
        archive.add("a", np.zeros((*SIZE, 3), np.uint8), dict.fromkeys(names, plane))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checkpoint_sha256": "1" * 64}, "was exported from another checkpoint"),
        ({"isr": "16,8,2,1-2,4,8"}, r"has ISR 16,8,4,1-2,4,8 and .* was made for 16,8,2,1-2,4,8"),
        ({"size": [64, 64]}, "has size 64x96 and .* was made for 64x64"),
        ({"size": None}, "has size 64x96 and .* was made for dynamic"),
        ({"align": None}, "has padding to multiples of 32 and .* was made for none"),
        ({"fit": "slide"}, "--fit slide averages logits and the artifact gives none"),
        ({"flip": True}, "--flip averages logits and the artifact gives none"),
    ],
)
def test_answers_to_other_questions_are_refused_before_the_first_image(
    change: dict[str, Any], said: str, honest: dict[str, Any], models: dict[str, Checkpoint],
    shared: Path, tmp_path: Path,
) -> None:  # fmt: skip
    artifact = exported(CASES[0], models, shared)
    seen: list[int] = []
    path = one_image(tmp_path / "x.ref", honest | change)
    with SavedAnswers(path) as answers, pytest.raises(InputError, match=said):
        compare(artifact, answers, on_image=lambda done, _: seen.append(done))
    assert seen == []


def test_other_classes_are_refused(
    honest: dict[str, Any], models: dict[str, Checkpoint], shared: Path, tmp_path: Path
) -> None:
    fewer = honest | {"data": honest["data"] | {"classes": CLASSES[:4]}}
    path = one_image(tmp_path / "x.ref", fewer)
    with SavedAnswers(path) as answers, pytest.raises(DataError, match=r"has 4 .* predicts 5"):
        compare(exported(CASES[0], models, shared), answers)


@pytest.mark.parametrize(
    "change",
    [
        {"isr": 5}, {"protocol": "other"}, {"scales": [0.0]}, {"scales": []}, {"data": {}},
        {"surplus": 1}, {"fit": "stretch"}, {"align": 0},
    ],
)  # fmt: skip
def test_a_head_that_says_nothing_is_refused(
    change: dict[str, Any], honest: dict[str, Any], tmp_path: Path
) -> None:
    path = one_image(tmp_path / "x.ref", honest | change)
    with pytest.raises(DataError, match=r"does not say what it holds .* make it again"):
        SavedAnswers(path)


class Many:
    """A Source of many images that holds none."""

    origin = "many"

    def __init__(self, count: int) -> None:
        self.count = count
        self.setting = Setting(
            data=DataRecord(
                name="many", classes=CLASSES, ignore_label=255, palette=None, notes=()
            ),
            checkpoint_sha256="0" * 64, description="PyTorch float32", isr_base="1", isr="1",
            size=SIZE, align=32, protocol="native", scales=(1.0,), flip=False, fit="resize",
        )  # fmt: skip

    def __len__(self) -> int:
        return self.count

    def answered(self) -> Iterator[tuple[Sample, Answers]]:
        for index in range(self.count):
            draw = np.random.default_rng(index)
            labels = draw.integers(0, 5, SIZE, dtype=np.uint8)
            decision = Decision(labels, draw.random(SIZE).astype(np.float16))
            image = draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            yield Sample(str(index), image, labels), Answers(labels, decision, None)


def test_memory_is_flat_over_two_thousand_images(tmp_path: Path) -> None:
    path = tmp_path / "many.ref"
    peaks = []
    tracemalloc.start()
    for count in (100, 2000):
        tracemalloc.reset_peak()
        for _ in Saving(Many(count), path).answered():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        with SavedAnswers(path) as answers:
            assert sum(1 for _ in answers.answered()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    few_written, few_read, many_written, many_read = peaks
    head = 2000 * 4096  # of the list of images, in whichever form; the images are 110 MB
    assert many_written < few_written + head
    assert many_read < few_read + head


FORBIDDEN = ("torch", "onnx", "onnx_ir", "onnxscript", "cv2", "transformers", "safetensors")


def test_none_of_the_desks_packages_is_imported(
    models: dict[str, Checkpoint], data: Path, shared: Path, tmp_path: Path
) -> None:
    artifact, path = exported(CASES[0], models, shared), tmp_path / "street.ref"
    dataset = open_dataset(f"folder:{data}", SIZE)
    live = validate(artifact, models["edaformer"], dataset, gates=LOOSE, save=path)
    script = f"""
import sys
for name in {FORBIDDEN}:
    sys.modules[name] = None
from edaformer.cli.main import main
sys.argv = ["edaformer", "validate", {str(artifact)!r}, "--reference", {str(path)!r}, "--json",
            "--trust-labels", "--min-agreement", "0.5", "--max-miou-drop", "50", "--report",
            {str(tmp_path / "page.html")!r}]
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == json.loads(json.dumps(live.to_json()))
    assert (tmp_path / "page.html").read_text() == html_report(live)
