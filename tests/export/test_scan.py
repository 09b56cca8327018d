"""The hash sees what a graph computes and nothing else; who changed it is said."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edaformer.engines.artifact.inspect import describe
from edaformer.engines.artifact.onnx_file import read_onnx
from edaformer.engines.artifact.preflight import preflight
from edaformer.engines.segmenters import open_artifact
from edaformer.errors import ManifestError
from edaformer.export.exporter import ExportResult
from edaformer.export.scan import scan


@pytest.fixture
def model(small_export: ExportResult) -> onnx.ModelProto:
    return onnx.load(small_export.path)


def test_texts_metadata_and_order_are_not_seen(
    small_export: ExportResult, model: onnx.ModelProto
) -> None:
    assert scan(small_export.path.read_bytes()).sha256 == small_export.manifest.graph_sha256
    model.doc_string = model.graph.doc_string = model.graph.node[3].doc_string = "a text"
    model.metadata_props.add(key="a", value="b")
    model.graph.initializer.insert(0, model.graph.initializer.pop())
    model.graph.value_info.insert(0, model.graph.value_info.pop())
    assert scan(model.SerializeToString()).sha256 == small_export.manifest.graph_sha256


def zeroed(model: onnx.ModelProto) -> None:
    for weight in model.graph.initializer[::7]:
        if weight.data_type in {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}:
            weight.raw_data = bytes(len(weight.raw_data))


def another_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Erf").op_type = "Tanh"


def another_type(model: onnx.ModelProto) -> None:
    model.graph.value_info[5].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


@pytest.mark.parametrize("change", [zeroed, another_operator, another_type])
def test_a_changed_graph_is_not_vouched_for(
    change: object, model: onnx.ModelProto, tmp_path: Path
) -> None:
    assert callable(change)
    change(model)
    model.producer_name = "someone"
    path = tmp_path / "x.onnx"
    onnx.save(model, path)
    file = read_onnx(path)
    assert file.changed == "changed after export by someone"
    assert file.manifest.verification is None
    facts = dict(describe(str(path), isr=None, size=None, num_classes=None).facts)
    assert facts["verified"] is None
    assert "its verification is void" in str(facts["graph"])
    assert any("verification is void" in note for note in preflight(path).notes)


def test_validation_says_what_it_is(model: onnx.ModelProto, tmp_path: Path) -> None:
    zeroed(model)
    onnx.save(model, tmp_path / "x.onnx")
    assert "changed after export" in open_artifact(tmp_path / "x.onnx").description


def test_an_older_export_has_no_seal(
    small_export: ExportResult, model: onnx.ModelProto, tmp_path: Path
) -> None:
    older = small_export.manifest.model_copy(update={"graph_sha256": None})
    model.metadata_props[0].value = older.model_dump_json()
    onnx.save(model, tmp_path / "x.onnx")
    assert read_onnx(tmp_path / "x.onnx").state.startswith("older, unsealed")


@pytest.mark.parametrize("what", [{"batch": 2}, {"height": 64, "width": 96}])
def test_a_manifest_of_another_graph_is_refused(
    what: dict[str, int], small_export: ExportResult, model: onnx.ModelProto, tmp_path: Path
) -> None:
    own = small_export.manifest
    outputs = [
        one.model_copy(update={k: v for k, v in what.items() if k != "batch"})
        if one.name == "labels" else one for one in own.outputs
    ]  # fmt: skip
    other = own.model_copy(
        update={"input": own.input.model_copy(update=what), "outputs": tuple(outputs)}
    )
    model.metadata_props[0].value = other.model_dump_json()
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ManifestError, match="another graph's: it names input"):
        read_onnx(tmp_path / "x.onnx")


def test_weights_elsewhere_however_the_field_is_spelt() -> None:
    """The key's length in two bytes, which a search for the usual bytes does not find."""
    entry = b"\x0a\x88\x00location\x12\x8d\x00/etc/hostname"
    tensor = b"\x42\x01w\x10\x01\x70\x01\x6a" + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    data = b"\x08\x0a\x3a" + bytes([len(graph)]) + graph
    assert b"\n\x08location" not in data
    (weight,) = onnx.load_model_from_string(data).graph.initializer
    assert weight.external_data[0].value == "/etc/hostname"
    assert scan(data).external
