"""config.pbtxt, read back with the official schema: Triton's ModelConfig, out of its own client."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import text_format

from edaformer.engines.handover import hand_over
from edaformer.errors import InputError
from edaformer.export.exporter import ExportResult
from edaformer.manifest import Bounds, parse_manifest
from tests.engines.handover.conftest import WritePlan
from tests.standins.network import Kind

DYNAMIC = Bounds(least=(1, 60, 90), best=(4, 60, 90), most=(8, 60, 90))


def config(schema: ModuleType, folder: Path) -> Any:
    """Raises for a field or a value that the schema does not have."""
    return text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def test_a_plan_with_a_fixed_batch(schema: ModuleType, write: WritePlan, tmp_path: Path) -> None:
    """The whole shape is in dims, and Triton batches nothing."""
    plan = write(Kind(outputs=("labels", "logits"), batch=2))
    made = hand_over(plan, "triton", tmp_path / "streets")
    read = config(schema, made.path)
    assert (read.name, read.platform, read.max_batch_size) == ("streets", "tensorrt_plan", 0)
    assert [(i.name, i.data_type, list(i.dims)) for i in read.input] == [
        ("image", schema.TYPE_UINT8, [2, 60, 90, 3])
    ]
    assert [(o.name, o.data_type, list(o.dims)) for o in read.output] == [
        ("labels", schema.TYPE_UINT8, [2, 60, 90]),
        ("logits", schema.TYPE_FP32, [2, 5, 8, 12]),
    ]
    assert not read.HasField("dynamic_batching")
    (group,) = read.instance_group
    assert (group.kind, group.count) == (schema.ModelInstanceGroup.KIND_GPU, 1)
    (warm,) = read.model_warmup
    assert (warm.batch_size, list(warm.inputs["image"].dims)) == (0, [2, 60, 90, 3])
    assert warm.inputs["image"].zero_data


def test_a_plan_with_a_dynamic_batch(schema: ModuleType, write: WritePlan, tmp_path: Path) -> None:
    made = hand_over(write(Kind(batch=None), bounds=DYNAMIC), "triton", tmp_path / "x")
    read = config(schema, made.path)
    assert read.max_batch_size == 8
    assert list(read.dynamic_batching.preferred_batch_size) == [4]
    assert list(read.input[0].dims) == [60, 90, 3]
    assert list(read.output[0].dims) == [5, 8, 12]
    assert (read.model_warmup[0].batch_size, list(read.model_warmup[0].inputs["image"].dims)) == (
        1, [60, 90, 3]
    )  # fmt: skip


def test_a_dynamic_size(schema: ModuleType, write: WritePlan, tmp_path: Path) -> None:
    bounds = Bounds(least=(1, 32, 32), best=(1, 64, 96), most=(1, 128, 128))
    plan = write(Kind(input="planar", align=None), bounds=bounds, dynamic=True)
    read = config(schema, hand_over(plan, "triton", tmp_path / "x").path)
    assert list(read.input[0].dims) == [1, 3, -1, -1]
    assert list(read.output[0].dims) == [1, 5, -1, -1]
    assert list(read.model_warmup[0].inputs["planar"].dims) == [1, 3, 64, 96]


def test_what_else_is_in_it(schema: ModuleType, write: WritePlan, tmp_path: Path) -> None:
    plan = write(Kind())
    made = hand_over(plan, "triton", tmp_path / "x")
    found = {str(p.relative_to(made.path)) for p in made.path.rglob("*") if p.is_file()}
    assert found == set(made.files)
    assert found == {"config.pbtxt", "labels.txt", "1/model.plan", "1/model.plan.json"}
    assert (made.path / "1/model.plan").read_bytes() == plan.read_bytes()
    read = config(schema, made.path)
    labels = (made.path / read.output[0].label_filename).read_text().splitlines()
    assert labels == ["road", 'a "quoted\\" one', "tree, bush", "höhe", "sign"]
    text = read.parameters["edaformer.manifest"].string_value
    assert parse_manifest(text, "x") == made.manifest.model_copy(update={"engine": None})


def test_an_onnx_file(schema: ModuleType, small_export: ExportResult, tmp_path: Path) -> None:
    made = hand_over(small_export.path, "triton", tmp_path / "small")
    read = config(schema, made.path)
    assert read.platform == "onnxruntime_onnx"
    assert (made.path / "1/model.onnx").read_bytes() == small_export.path.read_bytes()
    assert "manifest" in made.to_json()


def test_bounds_that_have_no_use(
    write: WritePlan, small_export: ExportResult, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="has its own bounds"):
        hand_over(write(Kind()), "triton", tmp_path / "x", bounds=DYNAMIC)
    with pytest.raises(InputError, match="has a fixed batch and size"):
        hand_over(small_export.path, "triton", tmp_path / "x", bounds=DYNAMIC)


def test_refused(write: WritePlan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a tensorrt-rtx plan.*--backend onnxruntime"):
        hand_over(write(Kind(), tag=b"vtrt"), "triton", tmp_path / "x")
    with pytest.raises(InputError, match="put it beside the plan"):
        hand_over(write(Kind(batch=None)), "triton", tmp_path / "x")
    least = DYNAMIC.model_copy(update={"least": (2, 60, 90)})
    with pytest.raises(InputError, match="takes at least 2; use --min-batch 1"):
        hand_over(write(Kind(batch=None), bounds=least), "triton", tmp_path / "x")
    with pytest.raises(InputError, match="letters, digits"):
        hand_over(write(Kind()), "triton", tmp_path / "a b")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    hand_over(write(Kind()), "triton", tmp_path / "x")
    with pytest.raises(InputError, match="exists already; remove it"):
        hand_over(write(Kind()), "triton", tmp_path / "x")
