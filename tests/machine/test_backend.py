from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edaformer.errors import InputError, MissingError
from edaformer.machine import backend
from edaformer.machine.jetson import Jetson


def test_tensorrt_rtx_can_target_gpus_that_are_not_here() -> None:
    chosen = backend.use("tensorrt-rtx")
    assert chosen.flavour == "tensorrt-rtx"
    assert "8.6" in chosen.compute_capabilities
    assert "9.0" not in chosen.compute_capabilities
    assert not chosen.times_kernels


def test_unknown() -> None:
    with pytest.raises(InputError, match="expected a backend out of auto"):
        backend.use("onnxruntime")


def test_a_folder_of_stubs_is_no_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.pyi").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    assert not backend.is_installed("tensorrt")
    with pytest.raises(MissingError, match="--system-site-packages"):
        backend.use("tensorrt")


def test_an_installation_that_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(MissingError, match=r"does not load: libnvinfer.so.10: not found; run"):
        backend.use("tensorrt")


HIDDEN = Path("/usr/lib/python3.10/dist-packages/tensorrt")
ANEW = (
    r"is in /usr/lib/python3.10/dist-packages, which this virtual environment does not see; run: "
    r"python3 -m venv --system-site-packages VENV, with that Python"
)


@pytest.mark.parametrize(
    ("bindings", "in_venv", "jetson", "words"),
    [
        (HIDDEN, True, True, ANEW),
        (None, True, True, r"not installed on this Jetson; run: sudo apt install python3-lib"),
        (None, False, False, r"not installed here; run: pip install"),
    ],
)
def test_tensorrt_that_a_venv_hides(
    monkeypatch: pytest.MonkeyPatch, bindings: Path | None, in_venv: bool, jetson: bool, words: str
) -> None:
    monkeypatch.setattr(backend, "is_installed", lambda _: False)
    monkeypatch.setattr(backend, "system_bindings", lambda: bindings)
    known = Jetson("R36.4.3", "6.2", "10.3.0.30") if jetson else None
    monkeypatch.setattr(backend, "read_jetson", lambda: known)
    monkeypatch.setattr(sys, "prefix", "/venv" if in_venv else sys.base_prefix)
    with pytest.raises(MissingError, match=words) as raised:
        backend.use("tensorrt")
    assert raised.value.exit_code == 3


def test_without_a_driver_the_logger_s_reason_is_given() -> None:
    def factory(logger: Any) -> None:
        logger.errors.append("createInferBuilder: Error Code 6: (CUDA initialization failure: 35)")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    backend.use("tensorrt-rtx")
    with pytest.raises(MissingError, match=r"got: createInferBuilder: .*failure: 35\); nvidia-smi"):
        backend.create(factory, backend.make_logger())


def test_another_type_error_is_nobody_s_driver() -> None:
    backend.use("tensorrt-rtx")
    with pytest.raises(TypeError, match="takes 0 positional"):
        backend.create(lambda: None, backend.make_logger())  # type: ignore[arg-type,misc]


def test_auto_without_a_gpu_is_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "gpu_visible", lambda: False)
    assert backend.use("auto").flavour == "tensorrt-rtx"


def test_require_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "gpu_visible", lambda: False)
    with pytest.raises(MissingError, match=r"running x.plan needs an NVIDIA GPU.*use the .onnx"):
        backend.require_gpu("running x.plan")
    monkeypatch.setattr(backend, "gpu_visible", lambda: True)
    backend.require_gpu("anything")
