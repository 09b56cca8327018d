from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from tests.conftest import ROOT
from tests.folder import lay_folder

CLASSES = ["road", "sky \N{RIGHTWARDS ARROW}", "\u8def", "car", "sign"]  # not in cp1252


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    """All but build, whose builder this is no test of: bench and tune without it, too."""
    torch.manual_seed(0)
    checkpoint, data = tmp_path / "model.safetensors", tmp_path / "data"
    save_checkpoint(checkpoint, EDAFormer.from_variant("T", num_classes=5), classes=CLASSES)
    drawn = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    lay_folder(data, [(image, image[..., 0] % 5) for image in drawn], CLASSES)
    gates = ["--max-miou-drop", "100", "--min-agreement", "0.01", "--trust-labels"]
    commands = [
        ["export", "model.safetensors", "--size", "64x96", "--isr", "16,8,4,1", "-o", "m.onnx"],
        ["info", "m.onnx"],
        ["check", "m.onnx", "--run"],
        ["run", "m.onnx", "data/images", "-o", "out", "--video", "out.mp4", "--stats", "areas.csv"],
        ["validate", "m.onnx", "--checkpoint", "model.safetensors", "--data", "folder:data",
         "--per-class", "--report", "r.html", "--junit", "r.xml", "--cache", "cache", *gates],
        ["validate", "--checkpoint", "model.safetensors", "--data", "folder:data", "--isr",
         "16,8,4,1", "--size", "64x96", "--save-reference", "street.ref", "--cache", "cache"],
        ["validate", "m.onnx", "--reference", "street.ref", *gates],
        ["bench", "m.onnx", "--duration", "0.2", "--rounds", "1", "-o", "bench.json"],
        ["tune", "model.safetensors", "--data", "folder:data", "--size", "64x96", "--trials", "2",
         "--max-miou-drop", "100", "--trust-labels", "--out", "tuning"],
        ["export", "none.pth"],
    ]  # fmt: skip
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    ran = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-m", "tests.windows", "commands.json"],
        cwd=tmp_path, capture_output=True, text=True, encoding="cp1252", check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252:strict",
                          "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr, ran.stderr
    ended = re.findall(r"^ENDED (\w+) (\d+)$", ran.stderr, re.MULTILINE)
    assert ended == [(command[0], "0") for command in commands[:-1]] + [("export", "2")], ran.stderr
    assert r"sky \u2192" in ran.stdout
    assert r"car" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert {"m.onnx", "m.onnx.witness", "out.mp4", "areas.csv", "r.html", "r.xml", "street.ref",
            "bench.json"} <= made  # fmt: skip
    assert not list(tmp_path.rglob("*.part"))
