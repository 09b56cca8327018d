from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaformer.engines.build import rebuild
from edaformer.engines.build.build import BuildResult
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.build.rebuild import compare_builds, recorded_build, repeat_build
from edaformer.errors import InputError, ManifestError
from edaformer.export.exporter import ExportResult
from edaformer.manifest import Bounds

TOY = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)


def test_builds_of_one_file_agree(
    small_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "gpu_visible", lambda: False)
    first, found = repeat_build(small_export.path, tmp_path / "x.plan", TOY, 2)
    assert first.path.is_file()
    assert (found.builds, found.same_layers, found.same_precision) == (2, True, True)
    assert found.differences == ()
    assert found.same_labels is None  # no GPU
    assert found.to_json()["same_labels"] is None
    written = ["x.plan", "x.plan.json", "x.plan.witness"]
    assert sorted(p.name for p in tmp_path.iterdir()) == written


@pytest.mark.parametrize("second", [0, 1])
def test_labels_are_compared_where_there_is_a_gpu(
    small_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: int
) -> None:
    labels = iter([np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), second, np.uint8)])
    monkeypatch.setattr(rebuild, "_labels", lambda _: next(labels))
    _, found = repeat_build(small_export.path, tmp_path / "x.plan", TOY, 2)
    assert found.same_labels is (second == 0)


def test_a_timing_cache_would_make_them_agree(small_export: ExportResult, tmp_path: Path) -> None:
    options = replace(TOY, timing_cache=tmp_path / "cache")
    with pytest.raises(InputError, match="leave one of them out"):
        repeat_build(small_export.path, tmp_path / "x.plan", options, 2)


def test_one_build_is_no_repetition(small_export: ExportResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected --repeat of 2 to 100, got 1"):
        repeat_build(small_export.path, tmp_path / "x.plan", TOY, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_sidecar_says_how_to_build_again(
    small_plan: BuildResult, small_export: ExportResult, tmp_path: Path
) -> None:
    sidecar = small_plan.path.with_name("small.plan.json")
    onnx, options, record = recorded_build(sidecar, None)
    assert onnx == small_export.path  # beside it, found by its hash
    assert options == TOY  # --allow-unfused is recorded too
    assert record == small_plan.record
    assert recorded_build(sidecar, small_export.path)[0] == small_export.path
    alone = shutil.copy(sidecar, tmp_path / "m.plan.json")
    with pytest.raises(InputError, match=r"no \.onnx beside .* again: edaformer-build MODEL"):
        recorded_build(Path(alone), None)
    (tmp_path / "other.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"is not what m\.plan\.json was built from"):
        recorded_build(Path(alone), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="found nothing there"):
        recorded_build(tmp_path / "none.json", None)


def test_bounds_and_targets_come_back(small_plan: BuildResult, tmp_path: Path) -> None:
    bounds = Bounds(least=(1, 64, 64), best=(2, 64, 96), most=(4, 128, 128))
    record = small_plan.record.model_copy(
        update={"bounds": bounds, "compute_capabilities": ("8.6",), "workspace_bytes": 2**29}
    )
    spec = small_plan.manifest.input.model_copy(update={"batch": None, "dynamic_size": True})
    manifest = small_plan.manifest.model_copy(update={"engine": record, "input": spec})
    (tmp_path / "m.plan.json").write_text(manifest.sealed().to_json())
    shutil.copy(small_plan.path.with_name("small.onnx"), tmp_path / "m.onnx")
    _, options, _ = recorded_build(tmp_path / "m.plan.json", None)
    assert options.batches == (1, 2, 4)
    assert options.sizes == ((64, 64), (64, 96), (128, 128))
    assert (options.compute_capabilities, options.workspace) == (("8.6",), 0.5)


def test_an_onnx_manifest_is_no_record(small_export: ExportResult, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(small_export.manifest.to_json())
    with pytest.raises(ManifestError, match="records no build"):
        recorded_build(tmp_path / "x.json", None)


def test_every_difference_is_listed(small_plan: BuildResult) -> None:
    record = small_plan.record
    assert compare_builds(record, record) == []
    assert record.proof is not None
    kernels = record.proof.kernels
    proof = record.proof.model_copy(update={"scratch_bytes": 1, "kernels": kernels[1:]})
    other = record.model_copy(update={"version": "9", "plan_bytes": 3, "proof": proof})
    found = compare_builds(record, other)
    assert [d.what for d in found] == ["version", "plan_bytes", "scratch_bytes", "layers"]
    assert found[0].now == "9"
    assert found[-1].now == "-"
    assert kernels[0].name in found[-1].recorded
    unproven = compare_builds(record, record.model_copy(update={"proof": None}))
    assert [(d.what, d.recorded, d.now) for d in unproven] == [("layers", "known", "unknown")]
    assert json.dumps([vars(d) for d in found])
