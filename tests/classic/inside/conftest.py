"""Fixtures of what runs under a release; elsewhere nothing here is collected."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edaformer.engines.artifact.plan import sidecar_path
from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.machine import backend
from tests import classic
from tests.standins.cuda import HostCuda
from tests.standins.network import Kind, write_small_onnx
from tests.tiny import TINY

collect_ignore_glob = [] if classic.running() else ["test_*.py"]
CLASSIC = BuildOptions(backend="tensorrt")
FUSED_OR_NOT = BuildOptions(backend="tensorrt", allow_unfused=True)
SMALL = Kind(outputs=("labels", "logits"))  # built in a fifth of a second


@pytest.fixture(autouse=True, scope="session")
def _tiny_is_known() -> Iterator[None]:
    """The proof names the attention blocks of a manifest's variant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, TINY.name, TINY)
        yield


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """NVIDIA's module, on a machine that has a GPU; the backend chooses anew."""
    monkeypatch.setattr(backend._Chosen, "module", None)
    monkeypatch.setattr(backend, "gpu_visible", lambda: True)
    return importlib.import_module("tensorrt")


@pytest.fixture
def glue() -> Any:
    """What loads and executes beneath it."""
    return importlib.import_module("tensorrt_libs")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An ONNX file that takes no time to build."""
    path = tmp_path / "small.onnx"
    write_small_onnx(SMALL, path)
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, small_export: ExportResult) -> BuildResult:
    """A real export, built once under the release."""
    path = tmp_path_factory.mktemp("built") / "model.plan"
    return build_engine(small_export.path, path, FUSED_OR_NOT)


@pytest.fixture
def plan(trt: Any, built: BuildResult, tmp_path: Path) -> Path:
    """A copy of it with its sidecar."""
    path = tmp_path / "model.plan"
    shutil.copy(built.path, path)
    shutil.copy(sidecar_path(built.path), sidecar_path(path))
    return path


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostCuda]:
    """Polygraphy as if never imported, on host memory."""
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "0")
    before = take_out_polygraphy()
    host = HostCuda()
    vars(importlib.import_module("polygraphy.cuda.cuda"))["G_CUDA"] = host
    yield host
    take_out_polygraphy()
    sys.modules.update(before)


def take_out_polygraphy() -> dict[str, ModuleType]:
    """Polygraphy's modules, which keep its choice of TensorRT."""
    names = [name for name in sys.modules if name.partition(".")[0] == "polygraphy"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Three of the networks' size."""
    return natural_noise(3, SMALL.size)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], set[str]]:
    """What lies in the test's folder."""
    return lambda: {path.name for path in tmp_path.iterdir()}
