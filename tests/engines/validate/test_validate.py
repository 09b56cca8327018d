from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from edaformer.data import Dataset, FileDataset, open_dataset
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.validate import validate
from edaformer.errors import DataError, InputError
from edaformer.evaluation.metrics import confusion_matrix, score
from edaformer.evaluation.protocol import FITS, get_protocol
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE
from tests.camvid import cache, exported, pytorch_score
from tests.camvid import dataset as camvid_data
from tests.folder import lay_folder

CAMVID_ISRS = ("base", "paper", "16,8,4,1", "16,8,4,2-2,4,8")
PUBLISHED = ("8,4,2,1-1,2,4", "16,8,2,1-2,4,8", "16,8,4,2-2,4,8", "32,16,8,4-4,8,16")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three noise images of the small export's size; the truth is half right by design."""
    truth = np.random.default_rng(0).integers(0, 5, (3, 60, 90)).astype(np.uint8)
    truth[:, :3] = 255
    pairs = zip(natural_noise(3, (60, 90)), truth, strict=True)
    classes = ("Road ", "SKY", "tree", "car", "sign")
    return lay_folder(tmp_path_factory.mktemp("data"), pairs, classes)


SIZE = (60, 90)
LOOSE = Gates(max_miou_drop=5, min_agreement=0.9, trust_labels=True)


def test_figures_are_the_segmenters(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Path
) -> None:
    dataset = open_dataset(f"folder:{data}", SIZE)
    seen: list[int] = []
    result = validate(
        small_export.path, small_checkpoint, dataset, gates=LOOSE,
        on_image=lambda done, _: seen.append(done),
    )  # fmt: skip
    assert seen == [1, 2, 3]
    for isr, row in (
        (BASE, result.reference_base),
        (small_export.manifest.isr_value, result.reference),
    ):
        segmenter = TorchSegmenter(small_checkpoint.model(isr), 32)
        total = sum(
            confusion_matrix(s.labels, segmenter.segment(s.image[None])[0], 5, 255) for s in dataset
        )
        assert row.score == score(np.asarray(total))
    assert result.delta_isr == result.reference.score.miou - result.reference_base.score.miou
    assert 0.9 < result.agreement.worst <= result.agreement.overall <= 1
    assert result.agreement_isr.overall < 1
    assert result.failures == ()


def test_json_has_the_documented_keys(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Path
) -> None:
    dataset = open_dataset(f"folder:{data}", SIZE).head(1)
    made = json.loads(
        json.dumps(validate(small_export.path, small_checkpoint, dataset, gates=LOOSE).to_json())
    )
    for row in ("reference_base", "reference", "candidate"):
        assert 0 <= made[row]["miou"] <= 100
    assert made["images"] == 1
    assert {"delta_isr", "delta_precision", "agreement", "agreement_worst", "agreement_isr"} <= set(
        made
    )


def test_gates_fail_in_words(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Path
) -> None:
    gates = Gates(max_miou_drop=-50, min_agreement=1, trust_labels=True)
    dataset = open_dataset(f"folder:{data}", SIZE).head(1)
    first, second = validate(small_export.path, small_checkpoint, dataset, gates=gates).failures
    assert "more than -50" in first
    assert "less than 1" in second


@pytest.mark.slow
def test_at_base_isr_both_references_are_one(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    options = ExportOptions(size=(60, 90), precision="fp32")
    export_model(tiny_checkpoint, options, tmp_path / "x.onnx")
    result = validate(tmp_path / "x.onnx", tiny_checkpoint, open_dataset(f"folder:{data}", SIZE))
    assert result.reference_base.score == result.reference.score
    assert result.agreement_isr.overall == 1
    assert result.agreement.overall > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize(("name", "output"), [("image", "logits"), ("tensor", "labels")])
def test_a_dynamic_size_follows_the_protocol_to_the_letter(
    name: Literal["image", "tensor"],
    output: Literal["logits", "labels"],
    tiny_checkpoint: Checkpoint,
    data: Path,
    tmp_path: Path,
) -> None:
    """60x90 is no multiple of 32 and not what the graph was traced at: whoever feeds it pads."""
    options = ExportOptions(
        size=(96, 64), dynamic_size=True, precision="fp32", input=name, outputs=(output,)
    )
    path = export_model(tiny_checkpoint, options, tmp_path / "x.onnx").path
    dataset = open_dataset(f"folder:{data}", SIZE).head(1)
    result = validate(path, tiny_checkpoint, dataset)
    assert (result.fitted, result.align) == (0, 32)
    # `image` is filled with bytes, PyTorch with zeros; random weights are near ties everywhere
    assert result.agreement.overall > (0.99 if name == "image" else 0.999)
    with pytest.raises(InputError, match="--fit is for artifacts of one size"):
        validate(path, tiny_checkpoint, dataset, fit="pad")
    if output == "labels":
        with pytest.raises(InputError, match="--protocol cityscapes averages logits"):
            validate(path, tiny_checkpoint, dataset, protocol=get_protocol("cityscapes"))
        return
    larger = validate(path, tiny_checkpoint, dataset, protocol=get_protocol("ade20k"))
    assert larger.fitted == 0
    assert larger.agreement.overall > 0.999  # 512x768: nothing is filled


@pytest.mark.slow
def test_an_image_of_another_size_costs_what_the_fit_costs(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    """Rows that are compared see the same pixels; PyTorch to the letter is a row of its own."""
    dataset = open_dataset(f"folder:{data}", SIZE).head(1)
    assert isinstance(dataset, FileDataset)
    Image.fromarray(natural_noise(1, (80, 110))[0]).save(tmp_path / "a.png")
    Image.fromarray(np.ones((80, 110), np.uint8)).save(tmp_path / "b.png")
    mixed = replace(dataset, pairs=(*dataset.pairs, (tmp_path / "a.png", tmp_path / "b.png")))
    for fit in FITS:
        result = validate(small_export.path, small_checkpoint, mixed, gates=LOOSE, fit=fit)
        assert (result.fitted, result.fit) == (1, fit)
        assert result.agreement.overall > 0.95  # random weights: near-ties everywhere
        assert result.letter is not None
        native = TorchSegmenter(small_checkpoint.model(small_export.manifest.isr_value), 32)
        total = sum(
            confusion_matrix(s.labels, native.segment(s.image[None])[0], 5, 255) for s in mixed
        )
        assert result.letter.score == score(np.asarray(total))
        assert result.delta_fit == result.reference.score.miou - result.letter.score.miou


def test_frames_go_the_whole_way_from_the_picture(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Behind the processor's own rule nothing but rounding is left; behind another one more is."""
    pairs = ((image, image[..., 0] % 5) for image in natural_noise(2, (192, 288)))
    dataset = open_dataset(f"folder:{lay_folder(tmp_path, pairs)}", SIZE)
    processed = replace(tiny_checkpoint, resize="pillow-bilinear")
    agreements = []
    for rule in ("pillow-bilinear", "opencv-bilinear"):
        path = tmp_path / f"{rule}.onnx"
        options = ExportOptions(size=(64, 96), outputs=("logits",), resize=rule)
        export_model(processed, options, path)
        result = validate(path, processed, dataset, gates=LOOSE, fit="resize", frames=True)
        assert result.frames is not None
        assert result.frames.reference.description == (
            "PyTorch float32, its processor's pillow-bilinear"
        )
        assert result.frames.candidate.description.endswith(f"the runtime's {rule}")
        agreements.append(result.frames.agreement.overall)
        own = TorchSegmenter(processed.model(), 32)
        total = sum(
            confusion_matrix(
                s.labels, own.label_frame(s.image, (64, 96), "pillow-bilinear"), 5, 255
            )
            for s in dataset
        )
        assert result.frames.reference.score == score(np.asarray(total))
        assert result.to_json()["frames"]["delta"] == result.frames.delta
    assert agreements[0] > 0.99
    assert agreements[1] < agreements[0] - 0.01


def test_what_does_not_belong_together_is_refused(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(f"folder:{data}", SIZE)
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, small_checkpoint.model(), classes=["x"] * 5)
    with pytest.raises(InputError, match="was exported from another checkpoint"):
        validate(small_export.path, load_checkpoint(path), dataset)

    assert isinstance(dataset, FileDataset)

    def try_with(changed: Dataset) -> None:
        validate(small_export.path, small_checkpoint, changed)

    with pytest.raises(DataError, match=r"has 4 classes and .* predicts 5"):
        try_with(replace(dataset, classes=dataset.classes[:4]))
    with pytest.raises(DataError, match=r"class 1 is 'cloud' in .* and 'sky' in"):
        try_with(replace(dataset, classes=("road", "cloud", "tree", "car", "sign")))


@pytest.mark.parametrize("gates", [{"min_agreement": 99.9}, {"max_miou_drop": float("nan")}])
def test_gates_are_checked(gates: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected --m"):
        Gates(**gates)


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("align", ["none", "pad32"])
@pytest.mark.parametrize("isr", PUBLISHED)
def test_camvid_figures_of_the_published_implementation(
    align: str, isr: str, camvid: Path, camvid_checkpoint: Path
) -> None:
    """Four settings; each ratio alone is held by the published logits and test_table.py."""
    figures = json.loads(camvid_checkpoint.with_suffix(".json").read_text())[align].get(isr)
    if figures is None:
        pytest.skip(f"no published figures of {isr}, padded")
    checkpoint, dataset = load_checkpoint(camvid_checkpoint), camvid_data(camvid)
    made = pytorch_score(checkpoint, isr, 32 if align == "pad32" else None, dataset)
    got = (made.miou, made.macc, made.aacc)
    assert got == pytest.approx([figures[k] for k in ("miou", "macc", "aacc")], abs=0.02)
    assert made.iou == pytest.approx(figures["iou"], abs=0.1)


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("isr", CAMVID_ISRS)
def test_fp16_costs_nothing_on_camvid(
    isr: str, camvid: Path, camvid_checkpoint: Path, shared: Path
) -> None:
    checkpoint, dataset = load_checkpoint(camvid_checkpoint), camvid_data(camvid)
    artifact = exported(shared, checkpoint, isr).path
    result = validate(artifact, checkpoint, dataset, cache=cache())
    assert result.images == 101
    assert result.agreement.overall >= 0.9998
    assert result.agreement.worst >= 0.9995
    assert abs(result.delta_precision) <= 0.02
    published = json.loads(camvid_checkpoint.with_suffix(".json").read_text())["pad32"]
    for row, within in ((result.reference, 0.02), (result.candidate, 0.04)):
        figures = published[row.isr]
        made = (row.score.miou, row.score.macc, row.score.aacc)
        assert made == pytest.approx([figures[k] for k in ("miou", "macc", "aacc")], abs=within)
    assert result.flips.ties == result.flips.flipped  # rounding alone
    low, high = result.intervals["delta_precision"] or (1, 0)
    assert low <= result.delta_precision <= high
