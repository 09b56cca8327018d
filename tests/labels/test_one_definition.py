"""Logits become labels in four places; where no frame is resized they are one definition.

The graph's own (PyTorch's), the runtime's (geometry.py, which the kernels are tested against), the
CPU's (upsample_argmax.py, which equals it to the bit) and the protocol's (decide.py).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edaformer.evaluation.protocol import Pass, Tile
from edaformer.export.wrapper import Geometry as Padding
from edaformer.export.wrapper import Labels
from edaformer.labels.decide import PassLogits, TileLogits, decide
from edaformer.labels.geometry import Geometry, labels_from_logits
from edaformer.labels.upsample_argmax import upsample_argmax

TIE = 1e-5  # top-2 margin below which float32's order of addition decides


@pytest.mark.parametrize("classes", [2, 11, 150])
@pytest.mark.parametrize("valid", [(64, 96), (60, 90), (33, 65)])
def test_all_four_agree(valid: tuple[int, int], classes: int) -> None:
    padded = (64, 96)
    rng = np.random.default_rng(classes)
    logits = rng.standard_normal((classes, 8, 12)).astype(np.float32)
    graph = Labels(Padding(valid, padded))(torch.from_numpy(logits)[None], padded)[0].numpy()
    geometry = Geometry(valid, valid, padded)
    runtime, margin = labels_from_logits(logits, geometry)
    tile = Tile(0, 0, *valid, valid)
    protocol = decide(
        (
            PassLogits(
                Pass((valid,), flipped=False, tiles=(tile,)), (TileLogits(tile, logits, padded),)
            ),
        ),
        valid,
    )
    assert (upsample_argmax(logits, geometry) == runtime).all()
    for labels in (runtime, protocol.labels):
        assert labels.shape == valid
        assert (labels == graph)[margin > TIE].all()
    assert (margin > TIE).mean() > 0.99
