"""The commands on a plan, each a process, with NVIDIA's bindings and an emulated driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests import classic
from tests.classic.releases import RELEASES
from tests.folder import lay_folder
from tests.standins.kernels import library

pytestmark = pytest.mark.skipif(
    classic.running() not in {RELEASES[0], RELEASES[-1]}, reason="under the oldest and the newest"
)


@pytest.fixture
def typed(built: BuildResult, tmp_path: Path) -> Any:
    """``edaformer`` as typed; gives the finished process."""
    library()  # skips where there is no compiler

    def run(*arguments: object, driver: str = "emulated", code: int = 0) -> Any:
        main = "from edaformer.cli.main import main; main()"
        command = [sys.executable, "-c", main, *map(str, arguments)]
        env = os.environ | {"EDAFORMER_CLASSIC_DRIVER": driver}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Of the network's size."""
    path = tmp_path / "a.png"
    Image.fromarray(natural_noise(1, (60, 90))[0].astype(np.uint8)).save(path)
    return path


def test_run_gives_the_onnx_file_s_labels(
    typed: Any, built: BuildResult, small_export: ExportResult, picture: Path, tmp_path: Path
) -> None:
    said = typed("run", built.path, picture, "--save", "ids", "-o", "plan")
    assert f"run by    tensorrt {classic.running()}" in said.stdout
    said = typed("run", small_export.path, picture, "--save", "ids", "-o", "onnx", driver="host")
    assert "run by    ONNX fp16" in said.stdout
    plan, onnx = (np.asarray(Image.open(tmp_path / out / "ids/a.png")) for out in ("plan", "onnx"))
    np.testing.assert_array_equal(plan, onnx)
    assert len(np.unique(plan)) > 1


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Two pictures with truth."""
    noise = natural_noise(7, (60, 90))
    truth = (noise[5:, ..., 0] // 52).astype(np.uint8)
    pairs = zip(noise[:2], truth, strict=True)
    return f"folder:{lay_folder(tmp_path / 'data', pairs)}"


def test_bench(typed: Any, built: BuildResult, data: str) -> None:
    made = typed("bench", built.path, "--duration", 0.4, "--rounds", 2, "--data", data, "--json")
    (result,) = json.loads(made.stdout)["results"]
    said = result["subject"]["description"]
    assert said.startswith(f"tensorrt {classic.running()} fp16, CUDA graph")
    assert len(result["starts"]) == 3  # each a process of its own


def test_validate(typed: Any, built: BuildResult, small_checkpoint: Checkpoint, data: str) -> None:
    checkpoint = ("--checkpoint", small_checkpoint.path)
    result = json.loads(typed("validate", built.path, *checkpoint, "--data", data, "--json",
                              "--trust-labels").stdout)  # fmt: skip
    assert result["candidate"]["description"] == f"tensorrt {classic.running()} fp16"
    assert result["images"] == 2
    assert result["agreement"] > 0.999


def test_check_with_the_witness(typed: Any, built: BuildResult) -> None:
    made = typed("check", built.path, "--run", "--json")
    verdict = json.loads(made.stdout)
    assert verdict["witness"]["right"]


def test_without_a_driver(typed: Any, built: BuildResult, small_export: ExportResult) -> None:
    done = typed(
        "build", small_export.path, "-o", "x.plan", "--backend", "tensorrt", driver="none", code=3
    )
    assert "createInferBuilder" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
