from __future__ import annotations

import numpy as np
import pytest
import torch

from edaformer.export.verify import natural_noise
from edaformer.export.wrapper import Deployment, Geometry, Labels, Normalise
from edaformer.preprocess import normalise
from tests.tiny import tiny_model


def test_normalise_equals_the_numpy_definition() -> None:
    image = natural_noise(2, (5, 7))
    made = Normalise()(torch.from_numpy(image)).numpy()
    assert np.abs(made - normalise(image)).max() < 1e-6


@pytest.mark.parametrize(
    ("align", "padded"), [(32, (96, 128)), (None, (90, 117)), (10, (90, 120)), (1, (90, 117))]
)
def test_geometry(align: int | None, padded: tuple[int, int]) -> None:
    assert Geometry.of((90, 117), align).padded == padded


def test_padding_is_zero_after_normalisation_right_and_below() -> None:
    deployment = Deployment(
        tiny_model(), Geometry.of((90, 117), 32), image_input=True, outputs=("labels",)
    )
    padded = deployment.pad(torch.ones(1, 3, 90, 117))
    assert padded.shape == (1, 3, 96, 128)
    assert padded[:, :, :90, :117].min() == 1
    assert padded[:, :, 90:].abs().max() == padded[:, :, :, 117:].abs().max() == 0


def test_logits_are_resized_to_the_padded_size_and_cropped() -> None:
    """A boundary at logits column 2 of 4 lies at padded pixel 16 of 32, whatever the crop."""
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 1, :, 2:] = 1
    logits[:, 0, :, :2] = 1
    labels = Labels(Geometry(size=(30, 25), padded=(32, 32)))(logits, (32, 32))
    assert (labels.shape, labels.dtype) == ((1, 30, 25), torch.uint8)
    assert (labels[:, :, :16] == 0).all()
    assert (labels[:, :, 16:] == 1).all()


def test_outputs_in_the_order_asked() -> None:
    image = torch.from_numpy(natural_noise(1, (90, 117)))
    for outputs in (("labels",), ("logits",), ("logits", "labels"), ("labels", "logits")):
        deployment = Deployment(
            tiny_model(), Geometry.of((90, 117), 128), image_input=True, outputs=outputs
        ).eval()
        made = dict(zip(outputs, deployment(image), strict=True))
        assert {name: tuple(value.shape) for name, value in made.items()} == {
            name: {"labels": (1, 90, 117), "logits": (1, 5, 16, 16)}[name] for name in outputs
        }
