"""The folder for Triton's Python backend, its configuration read with the official schema."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import text_format

from edaformer.engines.handover import hand_over_runtime
from edaformer.errors import InputError
from edaformer.export.exporter import ExportResult
from edaformer.manifest import parse_manifest
from tests.engines.handover.conftest import WritePlan
from tests.standins.network import Kind


def config(schema: ModuleType, folder: Path) -> object:
    return text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def test_an_onnx_file(schema: ModuleType, small_export: ExportResult, tmp_path: Path) -> None:
    made = hand_over_runtime(small_export.path, tmp_path / "street")
    assert {"config.pbtxt", "labels.txt", "1/model.py", "1/model.onnx"} <= set(made.files)
    assert (made.path / "1/model.onnx").read_bytes() == small_export.path.read_bytes()
    read = config(schema, made.path)
    assert (read.name, read.backend, read.max_batch_size) == ("street", "python", 8)
    inputs = {one.name: one for one in read.input}
    assert {name: list(one.dims) for name, one in inputs.items()} == {
        "image": [-1, -1, 3], "encoded": [-1],
    }  # fmt: skip
    assert all(one.optional and one.allow_ragged_batch for one in inputs.values())
    assert {one.name: list(one.dims) for one in read.output} == {
        "labels": [-1, -1], "areas": [5], "png": [-1],
    }  # fmt: skip
    assert read.dynamic_batching.preserve_ordering
    assert read.dynamic_batching.default_queue_policy.max_queue_size == 64
    assert [group.kind for group in read.instance_group] == [schema.ModelInstanceGroup.KIND_CPU]
    assert list(read.model_warmup[0].inputs["image"].dims) == [60, 90, 3]
    assert read.parameters["edaformer.artifact"].string_value == "model.onnx"
    text = read.parameters["edaformer.manifest"].string_value
    assert parse_manifest(text, "x").checkpoint_sha256 == made.manifest.checkpoint_sha256


@pytest.mark.parametrize(
    ("outputs", "margins"), [(("labels",), False), (("labels", "logits"), True)]
)
def test_a_plan_gives_margins_where_it_has_logits(
    schema: ModuleType, write: WritePlan, tmp_path: Path, outputs: tuple[str, ...], margins: bool
) -> None:
    """A plan of either TensorRT: our own runtime loads both."""
    made = hand_over_runtime(write(Kind(outputs=outputs), tag=b"vtrt"), tmp_path / "street")
    assert {"1/model.plan", "1/model.plan.json"} <= set(made.files)
    read = config(schema, made.path)
    assert ("margins" in {one.name for one in read.output}) is margins
    (group,) = read.instance_group
    assert (group.kind, list(group.gpus)) == (schema.ModelInstanceGroup.KIND_GPU, [0])


def test_the_file_holds_no_logic_of_ours(small_export: ExportResult, tmp_path: Path) -> None:
    made = hand_over_runtime(small_export.path, tmp_path / "street")
    tree = ast.parse((made.path / "1/model.py").read_text())
    assert not [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported == ["edaformer.engines.served.model"]


def test_refused(small_export: ExportResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        hand_over_runtime(small_export.path, tmp_path / "a b")
    hand_over_runtime(small_export.path, tmp_path / "x")
    with pytest.raises(InputError, match="exists already; remove it"):
        hand_over_runtime(small_export.path, tmp_path / "x")
