from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    options = ExportOptions(size=(64, 96), precision="fp32", outputs=("logits",))
    path = tmp_path_factory.mktemp("demo") / "demo.onnx"
    return export_model(load_checkpoint(demo_checkpoint()), options, path)


@pytest.mark.slow
def test_bench(demo: ExportResult, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = ["bench", str(demo.path), "--against", "torch", "--duration", "0.2", "--rounds", "2",
               "--images", "2", "--rate", "100", "--profile", "-o", str(record)]  # fmt: skip
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.stderr
    for words in ("p50 ms", "resize+argmax", "worst gap ms", "layers of demo.onnx",
                  "times as fast as torch", "labels agree on"):  # fmt: skip
        assert words in ran.stdout
    assert json.loads(record.read_text())["schema_version"] == 1
    made = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert [result["subject"]["kind"] for result in made["results"]] == ["onnx", "torch"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--against", "tensorflow"), 2, "expected --against out of"),
        (("--rate", "0"), 2, "expected --rate"),
        (("--data", "scenes:0"), 2, "expected scenes:N"),
        (("--data", "nothing"), 2, "expected --data as one of"),
        (("-o", "/dev/null/x.json"), 2, "but it is a file"),
        (("--checkpoint", "absent.pth", "--against", "torch"), 2, "absent.pth"),
    ],
)
def test_bad_options(demo: ExportResult, options: tuple[str, ...], code: int, words: str) -> None:
    ran = CliRunner().invoke(app, ["bench", str(demo.path), "--duration", "0.1", *options])
    assert (ran.exit_code, words in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr
