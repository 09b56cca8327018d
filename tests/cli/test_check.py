from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.artifact import preflight
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult


def test_an_onnx_will_run(small_export: ExportResult) -> None:
    ran = CliRunner().invoke(app, ["check", str(small_export.path)])
    assert (ran.exit_code, "verdict       will run here" in ran.stdout) == (0, True)


def test_a_plan_without_a_gpu(small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "query_gpu", lambda: None)
    ran = CliRunner().invoke(app, ["check", str(small_plan.path)])
    assert ran.exit_code == 3
    assert "missing: no NVIDIA GPU is visible" in ran.stdout
    assert "mend it: nvidia-smi" in ran.stdout
    made = json.loads(CliRunner().invoke(app, ["check", str(small_plan.path), "--json"]).stdout)
    assert (made["ok"], made["exit_code"], made["artifact"]) == (False, 3, "plan")
    assert made["problems"][0]["kind"] == "missing"


def test_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "x.plan").write_bytes(b"")
    ran = CliRunner().invoke(app, ["check", str(tmp_path / "x.plan")])
    assert (ran.exit_code, "damaged: it is empty" in ran.stdout) == (2, True)
