"""Nothing leaves the machine, and nobody's folders are written to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT

COMMANDS = [
    ["export", "--size", "64x96", "-o", "m.onnx"],
    ["info", "m.onnx"],
    ["check", "m.onnx", "--run"],
    ["run", "m.onnx", "street.png", "-o", "out"],
    ["validate", "m.onnx", "--data", "scenes:2", "--max-miou-drop", "50", "--min-agreement", "0.5"],
    ["bench", "m.onnx", "--against", "torch", "--duration", "0.2", "--rounds", "1"],
    ["tune", "--data", "scenes:2", "--size", "64x96", "--trials", "2", "--max-miou-drop", "100",
     "--out", "tuning"],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("home", [True, False])
def test_every_command_without_a_name_or_a_network(home: bool, tmp_path: Path) -> None:
    for folder in ("home", "tmp", "work"):
        (tmp_path / folder).mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "work/street.png")
    (tmp_path / "commands.json").write_text(json.dumps(COMMANDS))
    kept = {name: os.environ[name] for name in ("PATH", "OMP_WAIT_POLICY") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.nobody", tmp_path / "commands.json"],
        cwd=tmp_path / "work", capture_output=True, text=True, check=False,
        env=kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
        | ({"HOME": str(tmp_path / "home")} if home else {}),
    )  # fmt: skip
    ended = re.findall(r"^ENDED (\w+) (\d+)$", ran.stderr, re.MULTILINE)
    assert ended == [(command[0], "0") for command in COMMANDS], ran.stderr
    assert "CONNECTS" not in ran.stderr
    left = {path.relative_to(tmp_path / "home").as_posix() for path in tmp_path.glob("home/*/*")}
    # the reference's predictions; matplotlib's list of fonts
    assert left == (
        {".cache/edaformer", ".cache/matplotlib", ".config/matplotlib"} if home else set()
    )
    assert ("this user has no home" in ran.stderr) == (not home)
    assert {path.name for path in (tmp_path / "work").iterdir()} == {
        "m.onnx", "m.onnx.witness", "street.png", "out", "tuning"
    }  # fmt: skip
