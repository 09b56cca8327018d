"""``--input planar`` is ``--input image`` in another layout; probabilities are softmaxed logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edaformer.engines.segmenters import open_artifact
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.wrapper import Deployment, Geometry, Probabilities
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from edaformer.preprocess import RELEASE, network_input
from tests.camvid import dataset, exported
from tests.tiny import tiny_model


def test_planar_is_image() -> None:
    """In PyTorch, to float32's rounding: some processors convolve NHWC memory in another order."""
    outputs, model = ("labels", "logits"), tiny_model()
    of_image, of_planar = (
        Deployment(
            model, Geometry.of((90, 117), 32), image_input=True, planar=planar,
            outputs=outputs,
        ).eval()
        for planar in (False, True)
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (2, 90, 117, 3), np.uint8)
    planar = torch.from_numpy(network_input(image, "planar", RELEASE))
    assert (planar.shape, planar.dtype) == ((2, 3, 90, 117), torch.float32)
    labels, logits = of_image(torch.from_numpy(image))
    planar_labels, planar_logits = of_planar(planar)
    torch.testing.assert_close(planar_logits, logits, rtol=1e-5, atol=1e-5)
    assert (planar_labels == labels).float().mean() > 0.999  # the rest are ties


def test_probabilities_rank_as_labels_do() -> None:
    deployment = Deployment(
        tiny_model(), Geometry.of((90, 117), 32), image_input=True,
        outputs=("labels", "probabilities"),
    ).eval()  # fmt: skip
    labels, probabilities = deployment(torch.randint(256, (1, 90, 117, 3), dtype=torch.uint8))
    assert probabilities.shape[2:] == (90, 117)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(1, 90, 117))
    assert torch.equal(probabilities.argmax(dim=1), labels.long())


def test_probabilities_by_hand() -> None:
    logits = torch.tensor([0.0, 1.0]).log1p().view(1, 2, 1, 1)  # of 1 and 2: a third, two thirds
    made = Probabilities(Geometry((3, 5), (8, 8)))(logits, (8, 8))
    assert made.shape == (1, 2, 3, 5)
    torch.testing.assert_close(made[0, :, 2, 4], torch.tensor([1 / 3, 2 / 3]))


@pytest.mark.weights
@pytest.mark.slow
def test_on_real_frames(
    camvid: Path, camvid_checkpoint: Path, shared: Path, tmp_path: Path
) -> None:
    """FP16 with its rounding emulated: what normalises first rounds alike in both layouts."""
    frames = np.stack([sample.image for sample in dataset(camvid).head(3)])
    checkpoint = load_checkpoint(camvid_checkpoint)
    expected = open_artifact(exported(shared, checkpoint, "16,8,4,1").path).segment(frames)
    for output, least in (("labels", 1), ("probabilities", 0.9999)):
        options = ExportOptions(
            ISR.parse("16,8,4,1"), (360, 480), input="planar", outputs=(output,)  # type: ignore[arg-type]
        )  # fmt: skip
        path = tmp_path / f"{output}.onnx"
        assert export_model(checkpoint, options, path).manifest.input.name == "planar"
        assert (open_artifact(path).segment(frames) == expected).mean() >= least
