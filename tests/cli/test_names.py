"""Names that are no text or speak to a terminal, and outputs that lead to themselves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from edaformer.export.exporter import ExportResult
from edaformer.families.checkpoint import Checkpoint
from edaformer.files import write_whole
from edaformer.labels.witness import copy_witness
from tests.conftest import ROOT
from tests.folder import lay_folder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="names are text")]
EACH = """
import json, sys
from tests.windows import run
for command in json.load(open(sys.argv[1])):
    print("ENDED", command[0], run(command), file=sys.stderr)
"""
GATES = ["--max-miou-drop", "100", "--min-agreement", "0.01", "--trust-labels", "--no-cache"]


@pytest.fixture
def folder(small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """An export, its witness and checkpoint, and data whose names are no UTF-8."""
    write_whole(tmp_path / "m.onnx", small_export.path.read_bytes())
    copy_witness(small_export.path, tmp_path / "m.onnx")
    write_whole(tmp_path / "c.safetensors", small_checkpoint.path.read_bytes())
    drawn = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), np.uint8)
    pairs = [(image, image[..., 0] % 5) for image in drawn]
    lay_folder(tmp_path / "d\x01\udcff", pairs, names=("caf\udce9", "esc\x1b[31m"))
    return tmp_path


def run(folder: Path, commands: list[list[str]]) -> tuple[list[str], str, str]:
    """Exit codes and all that was printed on a terminal that is strict about its encoding."""
    (folder / "commands.json").write_text(json.dumps(commands))
    ran = subprocess.run(
        [sys.executable, "-c", EACH, "commands.json"], cwd=folder, capture_output=True, text=True,
        check=False, env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert "Traceback" not in ran.stderr, ran.stderr
    return re.findall(r"^ENDED \w+ (\d+)$", ran.stderr, re.MULTILINE), ran.stdout, ran.stderr


def test_names_that_are_no_text(folder: Path) -> None:
    data, out = "folder:d\x01\udcff", "out\udcff"
    codes, stdout, stderr = run(folder, [
        ["run", "m.onnx", "d\x01\udcff/images", "-o", out, "--stats", "areas\udcff.csv"],
        ["validate", "m.onnx", "--checkpoint", "c.safetensors", "--data", data,
         "--report", "r\udcff.html", "--junit", "r\udcff.xml", "--save-reference", "s\udcff.ref",
         *GATES],
        ["validate", "m.onnx", "--reference", "s\udcff.ref", *GATES[:-1]],
        ["check", "m.onnx", "--run"],
        ["bench", "m.onnx", "--duration", "0.2", "--rounds", "1", "--data", data, "-o",
         "b\udcff.json"],
        ["tune", "c.safetensors", "--data", data, "--size", "64x96", "--trials", "2",
         "--max-miou-drop", "100", "--trust-labels", "--out", "tuning\udcff"],
        ["export", "c.safetensors", "--size", "64x96", "-o", "e\udcff.onnx"],
    ])  # fmt: skip
    assert codes == ["0"] * 7, stderr
    assert not {"\x1b", "\x01"} & {*stdout, *stderr}
    assert r"folder:d\x01\udcff" in stdout
    assert r"caf\udce9" in (folder / "r\udcff.html").read_text("utf-8")
    suite = ET.parse(folder / "r\udcff.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("name") == r"folder:d\x01\udcff"
    assert len(list((folder / out).rglob("*.png"))) == 2


def test_outputs_that_lead_to_themselves(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    data = "folder:d\x01\udcff"
    validate = ["validate", "m.onnx", "--checkpoint", "c.safetensors", "--data", data, *GATES]
    codes, _, stderr = run(folder, [
        ["export", "c.safetensors", "--size", "64x96", "-o", "loop"],
        ["export", "c.safetensors", "--size", "64x96", "-o", "loop/m.onnx"],
        ["build", "m.onnx", "-o", "loop"],
        ["run", "m.onnx", "d\x01\udcff/images", "-o", "loop"],
        ["run", "m.onnx", "d\x01\udcff/images", "-o", "out", "--stats", "loop/a.csv"],
        ["run", "m.onnx", "d\x01\udcff/images", "-o", "out", "--video", "loop/a.mp4"],
        [*validate, "--report", "loop"],
        [*validate, "--junit", "loop"],
        [*validate, "--save-reference", "loop"],
        ["check", "m.onnx", "--run", "--pictures", "loop"],
        ["bench", "m.onnx", "-o", "loop"],
        ["tune", "c.safetensors", "--data", data, "--out", "loop"],
    ])  # fmt: skip
    assert codes == ["2"] * 12, stderr
    assert stderr.count("is a link that leads to itself") == 12, stderr
