"""nvinfer's configuration, and its parser's rule on what the network gives."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edaformer.engines.handover import hand_over
from edaformer.errors import InputError
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.runtime import OnnxSession
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.manifest import Bounds
from tests.engines.handover.conftest import WritePlan
from tests.standins.network import Kind

PLANAR = Kind(input="planar", outputs=("probabilities",))


def properties(folder: Path) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read_string((folder / "config_infer.txt").read_text())
    return dict(parser["property"])


def nvinfer_classes(output: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """The documented rule: the first greatest above -1 and above the threshold, else -1."""
    made = np.full(output.shape[1:], -1)
    best = np.full(output.shape[1:], -1.0, np.float32)
    for index, value in enumerate(output):
        wins = (value > best) & (value > threshold)
        made[wins], best[wins] = index, value[wins]
    return made


def test_a_plan(write: WritePlan, tmp_path: Path) -> None:
    made = hand_over(write(PLANAR), "deepstream", tmp_path / "x")
    assert set(made.files) == {"config_infer.txt", "labels.txt", "model.plan", "model.plan.json"}
    read = properties(made.path)
    expected = {
        "network-type": "2", "net-scale-factor": "1", "offsets": "0;0;0",
        "model-color-format": "0", "infer-dims": "3;60;90", "batch-size": "1", "network-mode": "0",
        "model-engine-file": "model.plan", "labelfile-path": "labels.txt",
        "output-blob-names": "probabilities", "segmentation-output-order": "0",
        "maintain-aspect-ratio": "0", "num-detected-classes": "5",
    }  # fmt: skip
    assert {key: read[key] for key in expected} == expected
    said = (made.path / "config_infer.txt").read_text()
    assert "of another size than 60x90 in its own way, not by opencv-bilinear\n" in said
    assert "onnx-file" not in read  # a plan that does not load is an error, not a rebuild
    for key in ("model-engine-file", "labelfile-path"):
        assert (made.path / read[key]).is_file()


def test_a_dynamic_batch(write: WritePlan, tmp_path: Path) -> None:
    bounds = Bounds(least=(1, 60, 90), best=(2, 60, 90), most=(4, 60, 90))
    kind = Kind(input="planar", outputs=("probabilities",), batch=None)
    read = properties(hand_over(write(kind, bounds=bounds), "deepstream", tmp_path / "x").path)
    assert read["batch-size"] == "4"


@pytest.mark.slow
def test_its_parser_finds_our_labels(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    """From one packed ONNX file, fed as nvinfer feeds it: y = net-scale-factor * (x - offset)."""
    frame = natural_noise(1, (60, 90))
    options = ExportOptions(
        size=(60, 90), input="planar", outputs=("probabilities",), precision="fp32"
    )
    onnx = export_model(tiny_checkpoint, options, tmp_path / "x.onnx").path
    made = hand_over(onnx, "deepstream", tmp_path / "x")
    read = properties(made.path)
    assert read["onnx-file"] == "model.onnx"
    session = OnnxSession(str(made.path / read["onnx-file"]))
    scale, offsets = float(read["net-scale-factor"]), [float(x) for x in read["offsets"].split(";")]
    fed = scale * (frame.transpose(0, 3, 1, 2).astype(np.float32) - np.reshape(offsets, (3, 1, 1)))
    given = session.run({session.input_name: fed.astype(np.float32)})[read["output-blob-names"]][0]
    classes = nvinfer_classes(given, float(read["segmentation-threshold"]))
    image = export_model(
        tiny_checkpoint, ExportOptions(size=(60, 90), precision="fp32"), tmp_path / "image.onnx"
    )
    labels = OnnxSession(str(image.path)).run({"image": frame})["labels"][0]
    assert classes.shape == (60, 90)
    assert (classes == labels).mean() > 0.999
    assert classes.min() >= 0


@pytest.mark.parametrize(
    "kind", [Kind(outputs=("probabilities",)), Kind(input="planar"), Kind(outputs=("labels",))]
)
def test_other_exports_are_refused(write: WritePlan, tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(InputError, match="--input planar --outputs probabilities"):
        hand_over(write(kind), "deepstream", tmp_path / "x")


def test_a_dynamic_size_is_refused(write: WritePlan, tmp_path: Path) -> None:
    bounds = Bounds(least=(1, 32, 32), best=(1, 64, 96), most=(1, 128, 128))
    with pytest.raises(InputError, match="wants one size"):
        hand_over(write(PLANAR, bounds=bounds, dynamic=True), "deepstream", tmp_path / "x")
