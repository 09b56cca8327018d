"""Fixtures: the test data beside the checkout, tiny models, and one export and plan for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.export.exporter import ExportOptions, ExportResult, export_model
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR

ROOT = Path(__file__).parents[1]
TEST_DATA = Path(os.environ.get("EDAFORMER_TEST_DATA", ROOT.parent / "shared"))


def _test_data(*parts: str) -> Path:
    path = TEST_DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)}, which the repository does not hold")
    return path


@pytest.fixture(autouse=True, scope="session")
def _caches_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or leaves anything in the person's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def reference() -> Path:
    """Logits of the published implementation."""
    return _test_data("reference")


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The CamVid validation split."""
    return _test_data("camvid")


@pytest.fixture(scope="session")
def camvid_checkpoint() -> Path:
    """EDAFormer-T trained on CamVid, in the published format."""
    return _test_data("checkpoints", "edaformer_t_camvid.pth")


@pytest.fixture(scope="session")
def segformer_folder() -> Path:
    """SegFormer-B0 trained on CamVid, as transformers saves it."""
    return _test_data("checkpoints", "segformer_b0_camvid")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that lives as long as the session."""
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="session")
def small_checkpoint(workspace: Path) -> Checkpoint:
    """EDAFormer-T with seeded random weights and five named classes."""
    torch.manual_seed(0)
    model = EDAFormer.from_variant("T", num_classes=5)
    path = workspace / "small.safetensors"
    save_checkpoint(path, model, classes=["road", "sky", "tree", "car", "sign"])
    return load_checkpoint(path)


@pytest.fixture(scope="session")
def small_export(small_checkpoint: Checkpoint, workspace: Path) -> ExportResult:
    """It, exported to FP16 at 60x90 (padded to 64x96), labels and logits."""
    options = ExportOptions(
        isr=ISR.parse("16,8,2,1-2,2,4"), size=(60, 90), outputs=("labels", "logits")
    )
    return export_model(small_checkpoint, options, workspace / "small.onnx")


@pytest.fixture(scope="session")
def small_plan(small_export: ExportResult, workspace: Path) -> BuildResult:
    """A real TensorRT-RTX plan of it; with a key or two in its attention, not all is fused."""
    options = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)
    return build_engine(small_export.path, workspace / "small.plan", options)
