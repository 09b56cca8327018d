from __future__ import annotations

from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edaformer.engines.artifact.onnx_file import read_onnx
from edaformer.errors import GateError, InputError
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.quantise.calibrate import METHOD
from edaformer.export.quantise.strip import half_twin
from edaformer.export.verify import LabelRule, _gate_labels
from edaformer.families.checkpoint import Checkpoint
from tests.eight import FP8, INT8, calibration


def test_the_pairs_are_typed_and_symmetric(int8_export: ExportResult) -> None:
    model = onnx.load(int8_export.path)
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kinds = Counter(node.op_type for node in model.graph.node)
    own = int8_export.manifest.quantised
    assert own is not None
    assert kinds["QuantizeLinear"] == len(own.activations)
    assert kinds["DequantizeLinear"] == len(own.activations) + len(own.weights)
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            _, scale, zero = node.input
            assert held[scale].dtype == np.float16
            assert (held[scale] > 0).all()
            assert held[zero].dtype == np.int8
            assert not held[zero].any()
    for name, steps in own.activations.items():
        assert held[f"{name}.scale"] == np.float16(steps)
    for name, weight in own.weights.items():
        scales = held[f"{name}.scale"]
        assert (weight.channels, weight.least, weight.largest) == (
            scales.size, scales.min(), scales.max(),
        )  # fmt: skip
        assert np.abs(held[f"{name}.eight"].astype(int)).max() <= 127  # -128 has no mirror image
    assert model.opset_import[0].version == 19


def test_a_weight_is_itself_within_half_a_step(
    int8_export: ExportResult, small_checkpoint: Checkpoint
) -> None:
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(int8_export.path).graph.initializer}
    name = "encoder.stage2.blocks.0.attention.kv.weight"
    assert small_checkpoint.state is not None
    own = small_checkpoint.state[name].numpy()
    scale = held[f"model.{name}.half.scale"].astype(np.float32)[:, None, None, None]
    steps = held[f"model.{name}.half.eight"]
    restored = steps * scale
    own = own.reshape(restored.shape)
    assert (np.abs(restored - own) <= scale / 2 * 1.01 + np.abs(own) * 2**-11).all()


def test_the_manifest_says_what_was_decided_on_what(int8_export: ExportResult) -> None:
    manifest = read_onnx(int8_export.path).manifest
    own, check = manifest.quantised, manifest.verification
    assert own is not None
    assert check is not None
    assert (manifest.precision, own.method, own.source) == ("int8", METHOD, "noise")
    assert tuple(one.sha256 for one in own.images) == calibration(INT8).hashes
    assert {one.reason for one in own.left_out} == {"depthwise", "first layer", "last layer"}
    assert check.tolerance is None
    assert check.label_miou is not None
    assert manifest.tie is None
    assert manifest.kept_fp32 is not None


def test_fp8_attention_is_reproduced_to_the_byte(
    fp8_export: ExportResult, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    again = export_model(tiny_checkpoint, FP8, tmp_path / "b.onnx", calibration=calibration(FP8))
    assert again.path.read_bytes() == fp8_export.path.read_bytes()
    model = onnx.load(again.path)
    zeros = [t for t in model.graph.initializer if t.name == "zero"]
    assert numpy_helper.to_array(zeros[0]).dtype == ml_dtypes.float8_e4m3fn
    products = [n for n in model.graph.node if ".attend" in n.name and n.op_type == "MatMul"]
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    assert products
    for node in products:
        assert [made_by[name] for name in node.input] == ["DequantizeLinear"] * 2


@pytest.mark.parametrize(
    ("agreement", "worst", "miou", "passes"),
    [
        (0.9931, 0.981, 85.1, True),
        (0.9929, 0.981, 85.1, False),
        (0.9931, 0.979, 85.1, False),
        (0.9931, 0.981, 84.9, False),
    ],
)
def test_labels_have_to_be_pytorchs(
    fp8_export: ExportResult, agreement: float, worst: float, miou: float, passes: bool
) -> None:
    assert fp8_export.manifest.verification is not None
    found = fp8_export.manifest.verification.model_copy(update={
        "label_agreement": agreement, "label_agreement_worst": worst, "label_miou": miou,
    })  # fmt: skip
    _gate_labels(found, LabelRule(0.0, worst=0.0, miou=0.0))
    if passes:
        _gate_labels(found, LabelRule())
        return
    with pytest.raises(GateError, match=r"in eight bits the labels agree .* nothing was written"):
        _gate_labels(found, LabelRule())


@pytest.mark.parametrize(
    ("options", "calibrated", "says"),
    [
        ({"precision": "int8"}, False, "int8 needs pictures to measure its ranges on"),
        ({"precision": "fp16"}, True, "--calibrate is for int8 and fp8, fp16 has no scales"),
    ],
)
def test_calibration_and_precision_go_together(
    tiny_checkpoint: Checkpoint, tmp_path: Path,
    options: dict[str, str], calibrated: bool, says: str,
) -> None:  # fmt: skip
    given = calibration(FP8) if calibrated else None
    with pytest.raises(InputError, match=says):
        export_model(
            tiny_checkpoint, ExportOptions(size=FP8.size, **options),  # type: ignore[arg-type]
            tmp_path / "a.onnx", calibration=given,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"precision": "int8", "opset": 18}, "is of opset 19 on, got 18"),
        ({"precision": "int8", "tolerance": 0.1}, "is judged by its labels: use --min-agreement"),
        ({"precision": "fp16", "min_agreement": 0.9}, "--min-agreement judges int8 and fp8"),
        ({"precision": "fp8", "min_agreement": 2.0}, "as a fraction from 0 to 1, got 2"),
        ({"precision": "fp8", "attention": "unfused"}, "is there to be fused"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ExportOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("change", "precision"), [("weights", "fp8"), ("pairs", "fp16")])
def test_a_changed_file_is_what_its_types_say(
    fp8_export: ExportResult, tmp_path: Path, change: str, precision: str
) -> None:
    data, path = fp8_export.path.read_bytes(), tmp_path / "changed.onnx"
    if change == "pairs":
        path.write_bytes(half_twin(data))
    else:
        model = onnx.load_from_string(data)
        bias = next(t for t in model.graph.initializer if t.name.endswith("fc1.bias.half"))
        bias.raw_data = bytes(len(bias.raw_data))
        onnx.save(model, path)
    file = read_onnx(path)
    assert file.changed is not None
    assert file.manifest.precision == precision
    assert file.manifest.verification is None
