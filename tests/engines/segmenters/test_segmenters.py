from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edaformer.engines.build.build import BuildResult
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.onnx import OnnxSegmenter
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.segmenters.segmenter import labels_from_logits
from edaformer.errors import InputError, ManifestError, MissingError
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.verify import natural_noise
from edaformer.export.wrapper import Deployment, Geometry
from edaformer.families.checkpoint import Checkpoint
from edaformer.machine import backend


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return natural_noise(3, (60, 90))


def test_torch_is_the_deployment_s_own_definition(
    small_checkpoint: Checkpoint, images: np.ndarray
) -> None:
    model = small_checkpoint.model()
    deployment = Deployment(
        model, Geometry.of((60, 90), 32), image_input=True, outputs=("labels",)
    ).eval()
    (expected,) = deployment(torch.from_numpy(images))
    made = TorchSegmenter(model, 32).segment(images)
    assert (made.shape, made.dtype) == ((3, 60, 90), np.uint8)
    assert (made == expected.numpy()).mean() > 0.999  # one by one and batched round differently


def test_onnx_equals_torch_up_to_rounding(
    small_export: ExportResult, small_checkpoint: Checkpoint, images: np.ndarray
) -> None:
    segmenter = open_artifact(small_export.path, provider="cpu")
    assert isinstance(segmenter, OnnxSegmenter)
    assert "float16 rounding emulated" in segmenter.description
    model = small_checkpoint.model(small_export.manifest.isr_value)
    expected = TorchSegmenter(model, 32).segment(images)
    made = segmenter.segment(images)  # batch 1: three runs
    assert made.shape == expected.shape
    assert (made == expected).mean() > 0.95  # random weights: near-ties everywhere
    segmenter.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "output"),
    [("image", "logits"), ("tensor", "logits"), ("planar", "logits"), ("planar", "probabilities")],
)
def test_scores_and_fixed_batches(
    kind: str, output: str, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    options = ExportOptions(
        size=(64, 90), batch=2, outputs=(output,), precision="fp32", input=kind, align=None  # type: ignore[arg-type]
    )  # fmt: skip
    export_model(tiny_checkpoint, options, tmp_path / "x.onnx")
    images = natural_noise(3, (64, 90))
    segmenter = open_artifact(tmp_path / "x.onnx")
    made = segmenter.segment(images)
    expected = TorchSegmenter(tiny_checkpoint.model(), None).segment(images)
    assert made.shape == (3, 64, 90)
    assert (made == expected).mean() > 0.9999


def test_another_size_is_refused(small_export: ExportResult) -> None:
    with pytest.raises(InputError, match="images are 32x64 and the artifact takes 60x90"):
        open_artifact(small_export.path).segment(np.zeros((1, 32, 64, 3), np.uint8))


def test_a_plan_needs_a_gpu(small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "gpu_visible", lambda: False)
    with pytest.raises(MissingError, match="needs an NVIDIA GPU"):
        open_artifact(small_plan.path)
    with pytest.raises(InputError, match="--provider is for ONNX Runtime"):
        open_artifact(small_plan.path, provider="cpu")


def test_a_plan_given_to_onnx_runtime(small_plan: BuildResult) -> None:
    with pytest.raises(InputError, match="is not an ONNX model"):
        OnnxSegmenter(small_plan.path)


def test_a_foreign_plan_has_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(b"ftrt" + bytes(200))
    with pytest.raises(ManifestError, match="plan without a manifest"):
        open_artifact(path)


def test_cuda_provider_where_there_is_none(
    small_export: ExportResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edaformer.export.runtime.gpu_visible", lambda: False)
    with pytest.raises(MissingError, match="has no CUDA provider here"):
        open_artifact(small_export.path, provider="cuda")


def test_labels_from_logits_by_hand() -> None:
    logits = np.zeros((1, 2, 1, 2), np.float32)
    logits[0, 0, 0], logits[0, 1, 0] = [1, 0], [0, 1]
    assert labels_from_logits(logits, (2, 4)).tolist() == [[[0, 0, 1, 1]] * 2]


@pytest.mark.gpu
def test_a_plan_on_a_gpu(
    small_plan: BuildResult, small_export: ExportResult, images: np.ndarray
) -> None:
    if not backend.gpu_visible():
        pytest.skip("needs an NVIDIA GPU")
    segmenter = open_artifact(small_plan.path)
    expected = open_artifact(small_export.path).segment(images)
    assert (segmenter.segment(images) == expected).mean() > 0.95
    segmenter.close()
