from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.errors import EdaformerError, InputError, ManifestError
from edaformer.export.exporter import ExportResult
from edaformer.export.scan import scan


def test_reads_what_the_exporter_wrote(small_export: ExportResult) -> None:
    assert read_onnx_manifest(small_export.path) == small_export.manifest


def test_equals_the_onnx_package(small_export: ExportResult) -> None:
    model = onnx.load(small_export.path)
    own = scan(small_export.path.read_bytes()).metadata
    assert own == {p.key: p.value for p in model.metadata_props}


def test_another_onnx_has_no_manifest(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "x.onnx")
    with pytest.raises(ManifestError, match="no edaformer-deploy manifest"):
        read_onnx_manifest(tmp_path / "x.onnx")


def test_weights_in_other_files_are_not_followed(
    small_export: ExportResult, tmp_path: Path
) -> None:
    model = onnx.load(small_export.path)
    path = tmp_path / "x.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights")
    with pytest.raises(InputError, match="keeps weights in other files"):
        read_onnx_manifest(path)


@pytest.mark.parametrize("length", [1, 7, 100, 5000, -1])
def test_cut_short(length: int, small_export: ExportResult, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(small_export.path.read_bytes()[:length])
    with pytest.raises(EdaformerError, match=r"not an ONNX model|no edaformer-deploy manifest"):
        read_onnx_manifest(path)


@pytest.mark.parametrize("content", [b"hello", b"\xff" * 64, b"vtrt" + b"\0" * 60, b"\x08"])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(InputError, match="is not an ONNX model, or it is damaged"):
        read_onnx_manifest(tmp_path / "x.onnx")
    with pytest.raises(InputError, match="found nothing there"):
        read_onnx_manifest(tmp_path / "no.onnx")
