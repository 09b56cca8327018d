"""``edaformer-build --target``: packed ONNX files and plans, built ones, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.machine import backend
from tests.standins.tensorrt import make_standin


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["build", *map(str, arguments)])

    return invoke


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_an_onnx_file(run: Any, small_export: ExportResult, tmp_path: Path) -> None:
    ran = run(
        small_export.path,
        "--target",
        "triton",
        "--backend",
        "onnxruntime",
        "-o",
        "street",
        "--json",
    )
    assert ran.exit_code == 0, ran.stderr
    assert json.loads(ran.stdout)["files"] == [
        "1/model.onnx", "1/model.onnx.witness", "config.pbtxt", "labels.txt"
    ]  # fmt: skip
    assert "tritonserver --model-repository=." in ran.stderr
    assert files(tmp_path) == [
        "street/1/model.onnx", "street/1/model.onnx.witness", "street/config.pbtxt",
        "street/labels.txt",
    ]  # fmt: skip


def test_built_and_packed(
    run: Any, small_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in with TensorRT 10.3's API: the plan is nowhere but in the folder."""
    monkeypatch.setitem(sys.modules, "tensorrt", make_standin("10.3"))
    monkeypatch.setattr(backend._Chosen, "module", None)
    monkeypatch.setattr(backend, "gpu_visible", lambda: True)
    ran = run(small_export.path, "--target", "triton", "-o", "street", "--allow-unfused")
    assert ran.exit_code == 0, ran.stderr
    assert f"street{'/'}1/model.plan\n  backend" in ran.stdout
    assert "alone: trtexec --loadEngine=street/1/model.plan" in ran.stderr
    assert files(tmp_path) == [
        "street/1/model.plan", "street/1/model.plan.json", "street/1/model.plan.witness",
        "street/config.pbtxt", "street/labels.txt",
    ]  # fmt: skip
    again = run("street/1/model.plan", "--target", "triton", "-o", "street2")
    assert again.exit_code == 0, again.stderr
    assert files(tmp_path / "street2") == files(tmp_path / "street")
    options = run("street/1/model.plan", "--target", "triton", "-o", "x", "--workspace", "1")
    assert (options.exit_code, "packed as it is" in options.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "here tensorrt-rtx would build; build where it will run"),
        (("--backend", "onnxruntime", "--workspace", "1"), "nothing is built"),
        (("--backend", "onnxruntime", "--max-batch", "4"), "expected --min-batch"),
        (("--backend", "nvinfer"), "expected a backend out of"),
        (("--repeat", "2"), "packs one build"),
        (("--force",), "never replaces a folder"),
        (("-o", "no/where"), "does not exist; create it"),
    ],
)
def test_refused(
    run: Any, small_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(backend, "gpu_visible", lambda: False)
    ran = run(small_export.path, "--target", "triton", *arguments)
    assert ran.exit_code == 2
    assert words in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_deepstream_and_rtx(run: Any, small_export: ExportResult, small_plan: BuildResult) -> None:
    ran = run(small_export.path, "--target", "deepstream", "--backend", "nvinfer")
    assert (ran.exit_code, "--input planar" in ran.stderr) == (2, True)
    ran = run(small_plan.path, "--target", "triton", "-o", "x")
    assert (ran.exit_code, "is a tensorrt-rtx plan" in ran.stderr) == (2, True)
