"""Fixtures: the test data beside the checkout, tiny models, and one export and plan for all."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from tests import eight
from tests.once import once, shared_folder
from tests.tiny import tiny_checkpoint

ROOT = Path(__file__).parents[1]
_WORKER_BYTES = 6 << 30  # with room: exporting and building EDAFormer-B takes 1.9 GB
TEST_DATA = Path(os.environ.get("EDAFORMER_TEST_DATA", ROOT.parent / "shared"))


def _test_data(*parts: str) -> Path:
    path = TEST_DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)}, which the repository does not hold")
    return path


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core that is ours, while each has memory for its largest models."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(_cores()), memory // _WORKER_BYTES))


def _cores() -> list[int]:
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pytest_configure(config: pytest.Config) -> None:
    """Workers side by side: each has one core to itself, and its libraries one thread.

    Whoever is begun in the background by a shell ignores Ctrl-C, and so do those it begins: tests
    of Ctrl-C need it heard.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None and sys.platform == "linux":
        cores = _cores()
        core = cores[int(worker.removeprefix("gw")) % len(cores)]
        os.sched_setaffinity(0, {core})
        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _a_home_of_their_own(shared: Path) -> Iterator[None]:
    """No test reads or leaves anything in the person's own folders; all workers share these."""
    folders = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "MPLCONFIGDIR": "mpl",
               "TORCHINDUCTOR_CACHE_DIR": "inductor",
               "RUSTUP_HOME": "rustup"}  # fmt: skip  # pip asks for rustc's version
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in folders.items():
            (shared / folder).mkdir(exist_ok=True)
            patch.setenv(name, str(shared / folder))
        patch.setattr(tempfile, "tempdir", str(shared / "tmp"))
        yield
        left = [str(path) for path in (shared / "home").rglob("*")]
    assert not left, f"tests left these in their home: {left}"


@pytest.fixture(autouse=True, scope="session")
def _no_lines_by_the_clock() -> Iterator[None]:
    """A slow machine is told no more than a quick one; test_progress.py has its own patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edaformer.cli.progress.SILENCE", 3600.0)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that lives as long as the run, for all workers: nothing in it is changed."""
    if "EDAFORMER_TEST_SHARED" in os.environ:  # of the run that started this one: tests/classic
        return Path(os.environ["EDAFORMER_TEST_SHARED"])
    return shared_folder(tmp_path_factory)


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


@pytest.fixture(scope="session", name="tiny_checkpoint")
def _tiny_checkpoint() -> Checkpoint:
    """Ten blocks with random weights, traced in half of T's time; ``path`` names no file."""
    return tiny_checkpoint()


@pytest.fixture(scope="session")
def tiny_export(tiny_checkpoint: Checkpoint, shared: Path) -> Path:
    """It, exported to FP32 at 64x96."""
    options = ExportOptions(size=(64, 96), precision="fp32")
    path = shared / "tiny.onnx"
    once(shared, path.name, lambda: export_model(tiny_checkpoint, options, path))
    return path


@pytest.fixture(scope="session")
def small_checkpoint(shared: Path) -> Checkpoint:
    """EDAFormer-T with seeded random weights and five named classes."""

    def make() -> Path:
        torch.manual_seed(0)
        model = EDAFormer.from_variant("T", num_classes=5)
        path = shared / "small.safetensors"
        save_checkpoint(path, model, classes=["road", "sky", "tree", "car", "sign"])
        return path

    return load_checkpoint(once(shared, "small.safetensors", make))


@pytest.fixture(scope="session")
def small_export(small_checkpoint: Checkpoint, shared: Path) -> ExportResult:
    """It, exported to FP16 at 60x90 (padded to 64x96), labels and logits."""
    options = ExportOptions(
        isr=ISR.parse("16,8,2,1-2,2,4"), size=(60, 90), outputs=("labels", "logits")
    )
    path = shared / "small.onnx"
    return once(shared, path.name, lambda: export_model(small_checkpoint, options, path))


@pytest.fixture(scope="session")
def small_fp32(small_checkpoint: Checkpoint, shared: Path) -> ExportResult:
    """The same checkpoint in FP32 at 60x90 and base ISR, labels alone: a CPU rounds nothing."""
    options = ExportOptions(size=(60, 90), precision="fp32")
    path = shared / "small_fp32.onnx"
    return once(shared, path.name, lambda: export_model(small_checkpoint, options, path))


@pytest.fixture(scope="session")
def small_plan(small_export: ExportResult, shared: Path) -> BuildResult:
    """A real TensorRT-RTX plan of it; with a key or two in its attention, not all is fused."""
    options = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)
    path = shared / "small.plan"
    return once(shared, path.name, lambda: build_engine(small_export.path, path, options))


@pytest.fixture(scope="session")
def small_unfused(small_checkpoint: Checkpoint, shared: Path) -> ExportResult:
    """As small_export, with unfused attention."""
    options = ExportOptions(
        isr=ISR.parse("16,8,2,1-2,2,4"), size=(60, 90), outputs=("labels", "logits"),
        attention="unfused",
    )  # fmt: skip
    path = shared / "small_unfused.onnx"
    return once(shared, path.name, lambda: export_model(small_checkpoint, options, path))


@pytest.fixture(scope="session")
def int8_export(small_checkpoint: Checkpoint, shared: Path) -> ExportResult:
    """As small_export, all parts of it in INT8."""
    path, pictures = shared / "small_int8.onnx", eight.calibration(eight.INT8)
    return once(
        shared, path.name,
        lambda: export_model(small_checkpoint, eight.INT8, path, calibration=pictures),
    )  # fmt: skip


@pytest.fixture(scope="session")
def fp8_export(tiny_checkpoint: Checkpoint, shared: Path) -> ExportResult:
    """The tiny model, its attention in FP8."""
    path, pictures = shared / "tiny_fp8.onnx", eight.calibration(eight.FP8)
    return once(
        shared, path.name,
        lambda: export_model(tiny_checkpoint, eight.FP8, path, calibration=pictures),
    )  # fmt: skip
