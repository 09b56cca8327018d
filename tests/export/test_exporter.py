from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edaformer.errors import EdaformerError, GateError, InputError, ISRError
from edaformer.export import exporter
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites import defaults
from edaformer.export.runtime import OnnxSession
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.table import load_checkpoint
from edaformer.files import sha256
from edaformer.isr import ISR
from edaformer.manifest import ONNX_KEY, parse_manifest

FLOAT16 = onnx.TensorProto.FLOAT16


def io(path: Path) -> dict[str, tuple[int, list[int | str]]]:
    graph = onnx.load(path).graph
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in [*graph.input, *graph.output]
    }


def test_inputs_outputs_and_manifest(small_export: ExportResult) -> None:
    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    assert io(small_export.path) == {
        "image": (uint8, [1, 60, 90, 3]),
        "labels": (uint8, [1, 60, 90]),
        "logits": (float32, [1, 5, 8, 12]),
    }
    model = onnx.load(small_export.path)
    (prop,) = [p for p in model.metadata_props if p.key == ONNX_KEY]
    manifest = parse_manifest(prop.value, "x")
    assert manifest == small_export.manifest
    assert manifest.isr == "16,8,2,1-2,2,4"
    assert (manifest.input.padded_height, manifest.input.padded_width) == (64, 96)
    assert manifest.classes == ("road", "sky", "tree", "car", "sign")
    assert manifest.rewrites == defaults("fp16", "T")
    assert small_export.sha256 == sha256(small_export.path)


def test_fp16_is_in_the_types(small_export: ExportResult) -> None:
    model = onnx.load(small_export.path)
    weights = {t.name: t.data_type for t in model.graph.initializer}
    assert sum(kind == FLOAT16 for kind in weights.values()) > 200
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    products = [n.output[0] for n in model.graph.node if n.op_type in {"MatMul", "Softmax"}]
    assert {kinds[name] for name in products} == {FLOAT16}


def test_the_isr_is_baked_in(small_export: ExportResult) -> None:
    pools = {
        node.name.partition(".blocks")[0]: node.attribute
        for node in onnx.load(small_export.path).graph.node
        if node.op_type == "AveragePool"
    }
    kernels = {
        name: next(list(a.ints) for a in attributes if a.name == "kernel_shape")
        for name, attributes in pools.items()
    }
    assert kernels == {
        "encoder.stage1": [16, 16], "encoder.stage2": [8, 8], "encoder.stage3": [2, 2],
        "decoder.c4": [2, 2], "decoder.c3": [2, 2], "decoder.c2": [4, 4],
    }  # fmt: skip


@pytest.mark.slow
def test_dynamic_batch_and_tensor_input(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    options = ExportOptions(
        size=(64, 64), batch=None, input="tensor", outputs=("logits",), precision="fp32", opset=20
    )
    result = export_model(tiny_checkpoint, options, tmp_path / "x.onnx")
    made = io(result.path)
    assert made["tensor"][1] == ["batch", 3, 64, 64]
    assert made["logits"][1] == ["batch", 5, 8, 8]
    assert result.manifest.input.batch is None
    assert result.manifest.verification is not None
    assert result.manifest.verification.max_logit_error < 1e-4
    session = OnnxSession(str(result.path))
    for batch in (1, 3):
        feed = {"tensor": np.zeros((batch, 3, 64, 64), np.float32)}
        assert session.run(feed)["logits"].shape == (batch, 5, 8, 8)


@pytest.mark.slow
def test_an_overflowing_mlp_is_kept_in_fp32_and_recorded(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """A ReLU MLP is scaled up by fc1 and down again by fc2, so only its inside is too large."""
    model = small_checkpoint.model()
    mlp = model.encoder.stage2.blocks[0].mlp
    for linear in (mlp.fc1,):
        linear.weight *= 1e6
        linear.bias *= 1e6
    mlp.fc2.weight *= 1e-6
    path = tmp_path / "big.safetensors"
    save_checkpoint(path, model)
    options = ExportOptions(size=(64, 64))
    result = export_model(load_checkpoint(path), options, tmp_path / "x.onnx")
    reasons = {item.reason: item.modules for item in result.manifest.kept_fp32 or ()}
    assert "encoder.stage2.blocks.0.mlp" in reasons["range"]
    assert not any("stage3" in module for module in reasons["range"])


@pytest.mark.slow
def test_a_gate_missed_leaves_no_file(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    options = ExportOptions(size=(64, 64), tolerance=1e-9)
    with pytest.raises(GateError, match=r"more than 1e-09 \(--tolerance\)"):
        export_model(tiny_checkpoint, options, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (0, 0)}, "expected sides of 1 to 8192"),
        ({"size": (100000, 100000)}, "expected sides of 1 to 8192"),
        ({"size": (28, 28), "align": None}, "use an input of at least 29x29"),
        ({"size": (31, 31), "align": None, "isr": ISR.parse("16,4,2,1")}, "its 8x8 map"),
        ({"opset": 17}, "expected an opset out of 18, 19, 20, got 17"),
        ({"batch": 0}, "expected a batch of 1 to 256"),
        ({"align": 0}, "expected --align"),
        ({"outputs": ()}, "expected outputs out of labels, logits"),
        ({"outputs": ("labels", "labels")}, "each at most once"),
        ({"attention": "unfused", "rewrites": ("group-queries",)}, "--no-rewrite group-queries"),
    ],
)
def test_options_are_checked_first(changes: dict[str, object], words: str) -> None:
    with pytest.raises(EdaformerError, match=words):
        ExportOptions(**changes)  # type: ignore[arg-type]


def test_the_smallest_sizes_fit_when_padded() -> None:
    ExportOptions(size=(1, 1))
    with pytest.raises(ISRError):
        ExportOptions(size=(1, 1), isr=ISR.parse("16,4,2,1"))


def test_an_output_that_cannot_be_written_is_refused_before_work(
    small_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "trace", None)  # any work would fail
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="but it is a file"):
        export_model(small_checkpoint, ExportOptions(), tmp_path / "file" / "x.onnx")


def test_too_many_classes_for_labels(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    save_checkpoint(path, EDAFormer.from_variant("T", 257))
    with pytest.raises(InputError, match="labels are uint8 and hold 256 classes"):
        export_model(load_checkpoint(path), ExportOptions(size=(64, 64)), tmp_path / "x.onnx")
