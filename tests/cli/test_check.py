from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.artifact import preflight
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.labels.witness import copy_witness, witness_path
from tests.wrong_attention import nan_pixel, softmaxes


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


@pytest.fixture
def copied(small_export: ExportResult, tmp_path: Path) -> Path:
    """An export and its witness, to be changed."""
    path = tmp_path / "model.onnx"
    path.write_bytes(small_export.path.read_bytes())
    copy_witness(small_export.path, path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_running_the_witness(copied: Path) -> None:
    ran = run(copied, "--run")
    assert ran.exit_code == 0, ran.stderr
    assert "right on 8 witness frames" in ran.stdout
    made = json.loads(run(copied, "--run", "--json").stdout)
    assert made["witness"]["right"]
    assert made["witness"]["failures"] == []
    assert "witness" not in json.loads(run(copied, "--json").stdout)


def test_wrong_labels_are_told_and_drawn(copied: Path, tmp_path: Path) -> None:
    model = ir.load(copied)
    nan_pixel(model, softmaxes(model)[-1])
    ir.save(model, copied)
    ran = run(copied, "--run", "--pictures", tmp_path)
    assert ran.exit_code == 1
    assert "WRONG: on witness frame" in ran.stdout
    assert "labels wrongly here: on witness frame" in ran.stderr
    assert f"edaformer-validate {copied} --checkpoint CHECKPOINT --bisect" in ran.stderr
    assert "--attention unfused" in ran.stderr
    pictures = sorted(tmp_path.glob("*.png"))
    assert [path.stem.rpartition("_")[2] for path in pictures] == ["artifact", "pytorch"]
    own, pytorch = (np.asarray(Image.open(path)) for path in pictures)
    assert own.shape == pytorch.shape == (60, 90)
    assert (own != pytorch).any()


def test_no_witness_is_one_sentence(copied: Path) -> None:
    witness_path(copied).unlink()
    ran = run(copied, "--run")
    assert (ran.exit_code, ran.stderr) == (
        2, "error: model.onnx.witness is not beside model.onnx; copy it from where the artifact "
        "was made\n",
    )  # fmt: skip


def test_pictures_want_a_run_and_a_folder(copied: Path) -> None:
    ran = run(copied, "--pictures", copied.parent)
    assert (ran.exit_code, "--pictures is for --run" in ran.stderr) == (2, True)
    ran = run(copied, "--run", "--pictures", copied)
    assert (ran.exit_code, "name another with --pictures" in ran.stderr) == (2, True)


def test_a_plan_without_a_gpu_is_not_run(
    small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "query_gpu", lambda: None)
    ran = run(small_plan.path, "--run")
    assert ran.exit_code == 3
    assert "missing: no NVIDIA GPU is visible" in ran.stdout
    assert witness_path(small_plan.path).is_file()
