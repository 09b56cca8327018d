"""Proof, comparison and rebuilding, as the commands show them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult

runner = CliRunner()
SMALL = ("--size", "64x64")


def json_of(*arguments: str) -> dict[str, object]:
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    loaded: dict[str, object] = json.loads(result.stdout)
    return loaded


def test_info_shows_the_proof(small_plan: BuildResult) -> None:
    found = json_of("info", str(small_plan.path))
    attention, kernels, memory = (found[key] for key in ("attention", "kernels", "memory"))
    assert isinstance(attention, dict)
    assert isinstance(kernels, dict)
    assert isinstance(memory, dict)
    assert attention["total"] == attention["fused"] + len(attention["unfused"]) == 22
    assert kernels["total"] == sum(kernels["by_kind"].values()) > 200
    assert kernels["alignment"] <= 2  # of padding there is some on maps this small
    assert memory["scratch_bytes"] > 0
    assert memory["weights_bytes"] > 9e6
    text = runner.invoke(app, ["info", str(small_plan.path)]).stdout
    assert f"{attention['fused']} of 22 blocks fused" in text


def test_without_the_sidecar_it_is_null(small_plan: BuildResult, tmp_path: Path) -> None:
    alone = shutil.copy(small_plan.path, tmp_path / "alone.plan")
    found = json_of("info", str(alone))
    assert found["attention"] == {"total": 22, "fused": None, "unfused": None}
    assert found["memory"]["scratch_bytes"] is None  # type: ignore[index]
    assert found["plan_bytes"]["fused_attention_kernels"] > 0  # type: ignore[index]
    assert "unknown" in runner.invoke(app, ["info", str(alone)]).stdout


def test_two_plans_side_by_side(small_plan: BuildResult, tmp_path: Path) -> None:
    alone = shutil.copy(small_plan.path, tmp_path / "alone.plan")
    found = json_of("info", str(small_plan.path), str(alone))
    differences = found["differences"]
    assert isinstance(differences, list)
    names = {row["what"] for row in differences}
    assert {"sidecar", "attention.fused", "memory.scratch_bytes"} <= names
    assert "sha256" not in names
    text = runner.invoke(app, ["info", str(small_plan.path), str(alone)]).stdout
    assert "\n  * sidecar" in text
    assert "\n    ISR" in text
    same = json_of("info", str(small_plan.path), str(small_plan.path))
    assert same["differences"] == []
    three = runner.invoke(app, ["info", "T", "T", "B"])
    assert three.exit_code == 2
    assert "expected one or two" in three.stderr


def test_an_unfused_engine_is_exit_1(small_export: ExportResult, tmp_path: Path) -> None:
    arguments = ["build", str(small_export.path), "-o", str(tmp_path / "x.plan")]
    result = runner.invoke(app, [*arguments, "--backend", "tensorrt-rtx"])
    assert result.exit_code == 1
    assert "attention is not fused in" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_repeated_and_rebuilt(small_export: ExportResult, tmp_path: Path) -> None:
    onnx = shutil.copy(small_export.path, tmp_path / "m.onnx")
    plan = tmp_path / "m.plan"
    once = ["build", str(onnx), "-o", str(plan), "--allow-unfused", "--repeat", "2"]
    repeated = json_of(*once, "--backend", "tensorrt-rtx")["repeat"]
    assert isinstance(repeated, dict)
    assert repeated["same_layers"] is True
    # the kernels are the same; TensorRT-RTX does not always write them in the same bytes
    again = json_of("build", "--from-manifest", f"{plan}.json")
    assert isinstance(again["differences"], list)
    assert {row["what"] for row in again["differences"]} <= {"plan_sha256", "plan_bytes"}
    assert (tmp_path / "m.rebuilt.plan").is_file()
    refused = runner.invoke(
        app, ["build", "--from-manifest", f"{plan}.json", "--workspace", "1", "--force"]
    )
    assert refused.exit_code == 2
    assert "leave the other options out" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build"], "expected a MODEL.onnx"),
        (["export", *SMALL, "--rewrites", "faster"], "got 'faster'"),
        (["export", *SMALL, "--no-rewrite", "pad-classes"], "has no effect"),
        (["export", *SMALL, "--for", "runtime", "--outputs", "labels"], "--for runtime means"),
        (["export", *SMALL, "--rewrites", "fuse-argmax", "--for", "runtime"], "finds nothing to"),
        (["export", "--size", "dynamic", "--align", "16"], "--align has no effect on a dynamic"),
    ],
)
def test_what_does_not_fit_is_exit_2(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_for_runtime_exports_logits_and_rewrites_are_recorded(tmp_path: Path) -> None:
    made = json_of(
        "export", "--size", "128x128", "--for", "runtime", "--no-rewrite", "map-mlp",
        "-o", str(tmp_path / "m.onnx"),
    )  # fmt: skip
    manifest = made["manifest"]
    assert isinstance(manifest, dict)
    assert [output["name"] for output in manifest["outputs"]] == ["logits"]
    assert "map-mlp" not in manifest["rewrites"]
    assert "pad-hidden" in manifest["rewrites"]
    assert "fuse-argmax" not in manifest["rewrites"]
