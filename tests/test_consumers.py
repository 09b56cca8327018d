"""Each line of docs/consumers.md, on a tiny export: the labels are ONNX Runtime's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAME = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)


def onnxruntime_labels(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": FRAME})[0]


def test_opencv(tiny_export: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    if int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip(f"seen with OpenCV 5, not with {cv2.__version__}")
    net = cv2.dnn.readNetFromONNX(str(tiny_export))
    net.setInput(FRAME)
    assert np.mean(net.forward() == onnxruntime_labels(tiny_export)) >= 0.999


def test_openvino(tiny_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)  # it writes into the home
    openvino = pytest.importorskip("openvino", reason="needs OpenVINO")
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(tiny_export), "CPU", options)
    assert np.mean(model(FRAME)[0] == onnxruntime_labels(tiny_export)) >= 0.999


def test_onnxruntime_mobile(tiny_export: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    tool = "onnxruntime.tools.convert_onnx_models_to_ort"
    line = [sys.executable, "-m", tool, str(tiny_export), "--output_dir", str(tmp_path),
            "--optimization_style", "Fixed"]  # fmt: skip
    subprocess.run(line, check=True, capture_output=True)
    labels = onnxruntime_labels(tmp_path / f"{tiny_export.stem}.ort")
    assert np.mean(labels == onnxruntime_labels(tiny_export)) >= 0.999


def test_polygraphy(tiny_export: Path) -> None:
    pytest.importorskip("polygraphy", reason="needs Polygraphy")
    tool = Path(sys.executable).with_name("polygraphy")
    line = [sys.executable, str(tool), "run", str(tiny_export), "--onnxrt",
            "--val-range", "image:[0,255]"]  # fmt: skip
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
