"""examples/camera.py on a video file; the kernels and the network are real, the GPU is not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from edaformer.engines.runtime import Engine
from edaformer.errors import InputError, MissingError
from tests.conftest import ROOT
from tests.engines.runtime.test_engine import VALID, machine, pictures, plan, trt

__all__ = ["machine", "plan", "trt"]  # fixtures: a plan, and a machine that runs it
EXAMPLE = ROOT / "examples" / "camera.py"


@pytest.fixture
def camera() -> ModuleType:
    spec = importlib.util.spec_from_file_location("camera", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "street.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, VALID[::-1])
    assert writer.isOpened()
    for picture in pictures(12, VALID):
        writer.write(picture)
    writer.release()
    return path


def test_a_video_file(
    camera: ModuleType, video: Path, plan: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plan("logits")
    camera.main(str(path), str(video))
    lines = capsys.readouterr().out.splitlines()
    with Engine.load(path, colour="bgr") as engine:
        expected = [np.bincount(engine(frame).ravel()) for frame in camera.frames(str(video))]
    assert len(lines) == 12
    for number, (line, areas) in enumerate(zip(lines, expected, strict=True)):
        share = areas.max() / (VALID[0] * VALID[1])
        assert line == f"{number}: class {areas.argmax()} {share:.0%}"


def test_what_it_says(camera: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot open"):
        next(camera.frames(str(tmp_path / "none.mp4")))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingError, match="apt install python3-opencv"):
        next(camera.frames("0"))


def test_as_a_script(tmp_path: Path) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, EXAMPLE, *map(str, words)], capture_output=True, text=True, check=False
        )

    assert run().stderr.startswith("usage: python3 camera.py PLAN")
    (tmp_path / "x.plan").write_text("no plan")
    ran = run(tmp_path / "x.plan", 0)
    assert (ran.returncode, ran.stderr.startswith("error: ")) == (1, True)
