"""Where the network gives no number the label is 255, by every way to a label, and it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edaformer.engines.run.labeller import open_labeller
from edaformer.engines.run.run import RunOptions, run
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.segmenter import labels_from_logits as decided
from edaformer.errors import NaNError
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites.fuse_argmax import FusedLabels
from edaformer.export.verify import natural_noise
from edaformer.export.wrapper import Geometry as Padding
from edaformer.export.wrapper import Labels
from edaformer.families.checkpoint import Checkpoint
from edaformer.labels.geometry import Geometry, labels_from_logits
from edaformer.labels.no_class import NO_CLASS, check_labels
from edaformer.labels.upsample_argmax import upsample_argmax
from tests.wrong_attention import nan_pixel, softmaxes


@pytest.mark.parametrize("classes", [1, 5, 150])
def test_every_way_from_logits_to_labels(classes: int) -> None:
    logits = np.random.default_rng(0).standard_normal((classes, 4, 6)).astype(np.float32)
    logits[:, 1, 2] = np.nan
    geometry = Geometry((32, 48), (32, 48), (32, 48))
    defined, _ = labels_from_logits(logits, geometry)
    assert 0 < (defined == NO_CLASS).mean() < 0.3
    assert (upsample_argmax(logits, geometry) == defined).all()
    assert (decided(logits[None], (32, 48))[0] == defined).all()
    fused = FusedLabels(Labels(Padding((32, 48), (32, 48))), 8)
    in_graph = fused(torch.from_numpy(logits)[None], (32, 48))[0].numpy()
    assert (in_graph[defined == NO_CLASS] == NO_CLASS).all()
    assert (in_graph == NO_CLASS).mean() < 0.5  # three columns of weights, of which 0 x NaN counts


def test_labels_are_checked_and_the_frame_named() -> None:
    check_labels(np.array([[0, 4]], np.uint8), 5)
    check_labels(np.full((2, 2), 255, np.uint8), 256)  # a class there
    check_labels(np.empty((0, 3), np.uint8), 5)
    with pytest.raises(NaNError, match=r"NaN on 50\.00% of the pixels of street\.png"):
        check_labels(np.array([[0, 255]], np.uint8), 5, what="street.png")


def broken(path: Path, target: Path) -> Path:
    model = ir.load(path)
    nan_pixel(model, softmaxes(model)[-1])
    ir.save(model, target)
    return target


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_an_onnx_file_that_gives_nan_is_not_drawn(
    precision: str, small_export: ExportResult, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Of an FP32 graph, whose argmax hides it, the logits inside are asked."""
    own = small_export.path
    if precision == "fp32":
        options = ExportOptions(size=(60, 90), precision="fp32")
        own = export_model(tiny_checkpoint, options, tmp_path / "own.onnx").path
    path = broken(own, tmp_path / "nan.onnx")
    picture = natural_noise(1, (60, 90))[0]
    assert (open_artifact(path).segment(picture[None]) == NO_CLASS).any()
    with pytest.raises(NaNError, match="of the pixels of a frame"):
        open_labeller(path)(picture)
    from PIL import Image

    Image.fromarray(picture).save(tmp_path / "street.png")
    with pytest.raises(NaNError, match=r"of the pixels of .*street\.png"):
        run(path, [str(tmp_path / "street.png")], RunOptions(folder=tmp_path / "out"))
