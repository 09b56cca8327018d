"""``edaformer-build --target``: packed ONNX files and plans, built ones, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.machine import backend


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
        "1/model.onnx", "1/model.onnx.witness", "config.pbtxt", "labels.txt",
    ]  # fmt: skip
    assert "tritonserver --model-repository=." in ran.stderr
    assert files(tmp_path) == [
        "street/1/model.onnx", "street/1/model.onnx.witness", "street/config.pbtxt",
        "street/labels.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "here tensorrt-rtx would build; build where it will run"),
        (("--backend", "onnxruntime", "--workspace", "1"), "nothing is built"),
        (("--backend", "onnxruntime", "--max-batch", "4"), "expected --min-batch"),
        (("--backend", "nvinfer"), "expected a backend out of"),
        (("--repeat", "2"), "packs one build"),
        (("--force",), "never replaces a folder"),
        (("-o", "/dev/null/street"), "but it is a file; name another with -o"),
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


def test_our_own_runtime(run: Any, small_export: ExportResult) -> None:
    ran = run(small_export.path, "--target", "triton", "--runtime", "edaformer", "-o", "street",
              "--json")  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    assert "1/model.py" in json.loads(ran.stdout)["files"]
    assert "tritonserver --model-repository=." in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--runtime is for --target triton"),
        (("--target", "deepstream"), "--runtime is for --target triton"),
        (("--target", "triton", "--workspace", "1"), "as it is; leave the options of a build out"),
        (("--target", "triton", "--backend", "onnxruntime"), "leave the options of a build out"),
    ],
)
def test_our_own_runtime_refused(
    run: Any, small_export: ExportResult, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = run(small_export.path, "--runtime", "edaformer", *arguments)
    assert ran.exit_code == 2
    assert words in ran.stderr
    assert files(tmp_path) == []
