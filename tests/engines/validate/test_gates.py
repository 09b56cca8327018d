"""The gates ask for every label that rounding cannot decide, and for mIoU to be the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edaformer.data import Dataset, open_dataset
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.validate import validate
from edaformer.engines.validate.validation import Validation
from edaformer.errors import InputError, NaNError
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from tests.camvid import SIZE, cache, exported
from tests.camvid import dataset as camvid_data
from tests.field.extremes import extreme_pictures
from tests.folder import lay_folder, nearly_right
from tests.wrong_attention import BREAKS, softmaxes


@pytest.fixture
def data(small_checkpoint: Checkpoint, tmp_path: Path) -> Dataset:
    pictures = np.stack([*extreme_pictures((60, 90)).values()])
    root = lay_folder(tmp_path / "data", nearly_right(small_checkpoint.model(), pictures, 5))
    return open_dataset(f"folder:{root}", (60, 90))


def failed(result: Validation) -> list[str]:
    return [gate.name for gate in result.gates if gate.failure is not None]


def test_a_picture_without_an_answer_does_not_fail_a_sound_export(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset
) -> None:
    result = validate(small_export.path, small_checkpoint, data, gates=Gates(max_miou_drop=1))
    assert result.agreement.worst < 0.999  # as the gate asked before
    assert result.flips.flipped == result.flips.ties
    assert failed(result) == []
    (_, ties) = result.gates
    assert (ties.name, ties.measured, ties.limit) == ("max_flips_beyond_ties", 0, 0)


@pytest.mark.parametrize("how", ["swapped heads", "stale tile", "NaN pixel"])
def test_wrong_attention_fails(
    how: str, small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset,
    tmp_path: Path,
) -> None:  # fmt: skip
    model = ir.load(small_export.path)
    BREAKS[how](model, softmaxes(model)[-1])
    ir.save(model, tmp_path / "wrong.onnx")
    if how == "NaN pixel":
        with pytest.raises(NaNError, match=r"of 00 in the artifact.*attention is the first"):
            validate(tmp_path / "wrong.onnx", small_checkpoint, data)
        return
    result = validate(tmp_path / "wrong.onnx", small_checkpoint, data, gates=Gates(50))
    assert failed(result) == ["max_flips_beyond_ties"]
    assert "pixels flipped beyond a rounding tie" in result.failures[0]


def test_the_share_of_equal_labels_is_for_who_asks(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset
) -> None:
    result = validate(small_export.path, small_checkpoint, data, gates=Gates(50, 1))
    assert failed(result) == ["min_agreement"]


def test_mean_iou_may_not_rise_either(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Dataset
) -> None:
    result = validate(small_export.path, small_checkpoint, data.head(1))
    change = abs(result.delta_precision)
    assert change > 0
    strict = validate(small_export.path, small_checkpoint, data.head(1), gates=Gates(change / 2))
    assert failed(strict) == ["max_miou_change"]
    assert strict.gates[0].measured == result.delta_precision
    assert f"mIoU changes by {result.delta_precision:+.3f} points" in strict.failures[0]


@pytest.mark.parametrize("limit", [float("inf"), float("nan"), float("-inf")])
def test_no_limit_switches_a_gate_off(limit: float) -> None:
    with pytest.raises(InputError, match="a finite number"):
        Gates(max_miou_drop=limit)


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("isr", ["base", "16,8,4,1"])
def test_extreme_pictures_and_wrong_attention_on_camvid(
    isr: str, camvid: Path, camvid_checkpoint: Path, shared: Path, tmp_path: Path
) -> None:
    """The default export passes on both; a block that computes wrongly fails on three images."""
    checkpoint, data = load_checkpoint(camvid_checkpoint), camvid_data(camvid)
    sound = exported(shared, checkpoint, isr).path
    pictures = np.stack([*extreme_pictures(SIZE).values()])
    pairs = nearly_right(checkpoint.model(ISR.parse(isr)), pictures, 11)
    root = lay_folder(tmp_path / "extreme", pairs, data.classes)
    # the truth is of noise: classes of a few pixels, whose IoU ties move (by 0.15 in the mean)
    extreme = validate(sound, checkpoint, open_dataset(f"folder:{root}", SIZE), gates=Gates(0.5))
    assert failed(extreme) == []
    assert extreme.flips.flipped == extreme.flips.ties
    few = replace(data, pairs=data.pairs[::34])  # type: ignore[call-arg]
    assert failed(validate(sound, checkpoint, few, cache=cache())) == []
    for how in ("scaled logits", "swapped heads", "stale tile"):
        model = ir.load(sound)
        BREAKS[how](model, softmaxes(model)[14])
        ir.save(model, tmp_path / "wrong.onnx")
        result = validate(tmp_path / "wrong.onnx", checkpoint, few, cache=cache())
        assert "max_flips_beyond_ties" in failed(result), how


@pytest.mark.slow
@pytest.mark.parametrize("power", [11, 14])
def test_a_segformer_of_large_values_keeps_its_headroom(
    power: int, segformer_folder: Path, tmp_path: Path
) -> None:
    """Values of 2^11 to 2^14 times their size, divided out behind the attention."""
    checkpoint = load_checkpoint(segformer_folder)
    factors = {"attention.v.": 2.0**power, "attention.proj.weight": 2.0**-power}
    scaled = replace(checkpoint, state={
        name: weight * next((by for part, by in factors.items() if part in name), 1.0)
        for name, weight in checkpoint.state.items()
    })  # fmt: skip
    assert any((scaled.state[name] != weight).any() for name, weight in checkpoint.state.items())
    size = (96, 128)
    path = export_model(scaled, ExportOptions(isr=ISR.parse("base", checkpoint.places), size=size),
                        tmp_path / "x.onnx").path  # fmt: skip
    pictures = np.stack([*extreme_pictures(size).values()])
    pairs = nearly_right(scaled.model(), pictures, checkpoint.num_classes)
    classes = checkpoint.classes or ()
    root = lay_folder(tmp_path / "data", pairs, classes)
    result = validate(path, scaled, open_dataset(f"folder:{root}", size), gates=Gates(5))
    assert failed(result) == []
