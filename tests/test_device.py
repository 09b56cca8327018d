"""A device: the base install and the artifact's runtime alone, in an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from edaformer.data import open_dataset
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.validate import validate
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.labels.witness import copy_witness
from tests.conftest import ROOT
from tests.folder import lay_folder

pytestmark = pytest.mark.slow
DESK = {"torch", "onnx", "onnxscript", "onnx-ir", "opencv-python-headless", "transformers",
        "safetensors"}  # fmt: skip
SIZE = (60, 90)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its commands."""
    root = tmp_path_factory.mktemp("device")
    source, folder = root / "source", root / "venv"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("edaformer", "examples"):  # pip leaves its traces in a source
        shutil.copytree(ROOT / name, source / name)
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    constraints = ROOT / "constraints.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", constraints, source, "onnxruntime"], check=True
    )
    return python.parent


def run(device: Path, command: str, *arguments: object, cwd: Path) -> str:
    ran = subprocess.run(
        [device / command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_checks_validates_and_runs_what_the_desk_made(
    device: Path, small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    listed = json.loads(run(device, "python", "-m", "pip", "list", "--format=json", cwd=tmp_path))
    installed = {package["name"].lower() for package in listed}
    assert {"edaformer-deploy", "onnxruntime"} <= installed
    assert not installed & DESK
    model = tmp_path / "model.onnx"
    model.write_bytes(small_export.path.read_bytes())
    copy_witness(small_export.path, model)
    lay_folder(tmp_path, ((image, image[..., 0] % 5) for image in natural_noise(3, SIZE)))
    live = validate(
        model, small_checkpoint, open_dataset(f"folder:{tmp_path}", SIZE), provider="cpu",
        gates=Gates(max_miou_drop=50.0, min_agreement=0.5, trust_labels=True),
        save=tmp_path / "street.ref",
    )  # fmt: skip

    assert "right on 8 witness frames" in run(
        device, "edaformer-check", "model.onnx", "--run", cwd=tmp_path
    )
    made = run(
        device, "edaformer-validate", "model.onnx", "--reference", "street.ref", "--json",
        "--trust-labels", "--max-miou-drop", "50", "--min-agreement", "0.5",
        "--report", "street.html",
        cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(made) == json.loads(json.dumps(live.to_json()))
    assert "<h1>Passed</h1>" in (tmp_path / "street.html").read_text()
    run(device, "edaformer-run", "model.onnx", "images", "-o", "out", cwd=tmp_path)
    assert len(list((tmp_path / "out").rglob("*.png"))) >= 3
