from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.artifact.plan import read_plan, sidecar_path
from edaformer.engines.artifact.proof import summarise
from edaformer.engines.build.beside import beside_fused
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult

runner = CliRunner()


def build(onnx: Path, plan: Path, *options: str) -> str:
    line = ["build", str(onnx), "-o", str(plan), "--backend", "tensorrt-rtx", *options]
    result = runner.invoke(app, line)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_cost_is_shown_where_the_fused_form_lies_beside(
    small_plan: BuildResult, small_unfused: ExportResult, tmp_path: Path
) -> None:
    plan = tmp_path / "u.plan"
    alone = build(small_unfused.path, plan)
    assert "what unfused attention costs is not known" in alone
    assert "Export it with --attention fused" in alone
    assert beside_fused(plan) is None  # itself is not the fused form
    for path in (small_plan.path, sidecar_path(small_plan.path)):
        shutil.copy(path, tmp_path)
    (tmp_path / "a.json").write_text("{}")  # somebody else's
    found = json.loads(build(small_unfused.path, plan, "--json"))["beside_fused"]
    assert found["plan"] == str(tmp_path / "small.plan")
    both = [small_plan.manifest, read_plan(plan).known_manifest()]
    proofs = [summarise(m.engine and m.engine.proof, m.architecture) for m in both]
    assert found["fused_blocks"] == {"fused": proofs[0]["attention"]["fused"], "unfused": 0}
    kernels = [proof["kernels"]["total"] for proof in proofs]
    assert found["kernels"] == dict(zip(("fused", "unfused"), kernels, strict=True))
    traffic = [proof["memory"]["traffic_bytes"] for proof in proofs]
    assert found["traffic_bytes"] == dict(zip(("fused", "unfused"), traffic, strict=True))
    (row,) = [
        text for text in build(small_unfused.path, plan).splitlines() if "traffic, MB" in text
    ]
    assert row.split()[2:] == [
        *(f"{size / 1e6:.1f}" for size in traffic), f"{traffic[1] / traffic[0]:.2f}"
    ]  # fmt: skip
    elsewhere = build(small_unfused.path, plan, "--workspace", "1")
    assert "is not known" in elsewhere  # not built alike
