"""Segmenters run by a protocol, against PyTorch's own operators."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.validate.procedure import artifact_labels, decide_image, feeds, procedure_of
from edaformer.errors import InputError
from edaformer.evaluation.protocol import PROTOCOLS, Protocol, get_protocol, plan_passes
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.manifest import Manifest
from edaformer.preprocess import MEAN, STD
from tests.tiny import tiny_model

NATIVE = PROTOCOLS["native"]


def image(height: int, width: int) -> np.ndarray:
    return natural_noise(1, (height, width))[0]


def torch_resize(array: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(array, size=size, mode="bilinear", align_corners=False)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    scaled = (torch.from_numpy(pixels).double() - torch.tensor(MEAN)) / torch.tensor(STD)
    return scaled.float().permute(2, 0, 1)[None]


def agrees(made: np.ndarray, logits: torch.Tensor) -> None:
    """Equal wherever rounding cannot decide."""
    top = logits[0].topk(2, dim=0)
    decided = (top.values[0] - top.values[1] > 1e-3).numpy()
    assert decided.mean() > 0.98
    assert (made == top.indices[0].numpy())[decided].all()


def test_ade20k_as_the_release_evaluates() -> None:
    model, picture = tiny_model("base"), image(150, 200)
    small = Protocol("small", frame=(400, 100), multiple=32)
    made = decide_image(TorchSegmenter(model, 32), picture, plan_passes(small, (150, 200)))
    resized = cv2.resize(picture, (133, 100), interpolation=cv2.INTER_LINEAR)
    resized = cv2.resize(resized, (160, 128), interpolation=cv2.INTER_LINEAR)
    with torch.inference_mode():
        logits = torch_resize(model(normalised(resized)), (128, 160))
    agrees(made.labels, torch_resize(logits, (150, 200)))


def test_cityscapes_as_the_release_evaluates() -> None:
    model, picture = tiny_model("base"), image(128, 256)
    small = Protocol("small", frame=(256, 128), window=128, stride=96)
    made = decide_image(TorchSegmenter(model, 32), picture, plan_passes(small, (128, 256)))
    total, count = torch.zeros(1, 5, 128, 256), torch.zeros(1, 1, 128, 256)
    with torch.inference_mode():
        for left in (0, 96, 128):  # 192 would pass the border: shifted back
            own = model(normalised(np.ascontiguousarray(picture[:, left : left + 128])))
            total[..., left : left + 128] += torch_resize(own, (128, 128))
            count[..., left : left + 128] += 1
    assert sorted(set(count.ravel().tolist())) == [1, 2]
    agrees(made.labels, total / count)


def test_flip_and_scales() -> None:
    model, picture = tiny_model("base"), image(128, 128)
    way = get_protocol("native", scales=(1.0, 2.0), flip=True)
    made = decide_image(TorchSegmenter(model, 32), picture, plan_passes(way, (128, 128)))
    total = torch.zeros(1, 5, 128, 128)
    with torch.inference_mode():
        for side in (128, 256):
            seen = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
            plain = torch_resize(model(normalised(seen)), (side, side))
            turned = model(normalised(np.ascontiguousarray(seen[:, ::-1])))
            turned = torch_resize(turned, (side, side)).flip(3)
            total += sum(torch_resize(own, (128, 128)).softmax(1) for own in (plain, turned))
    agrees(made.labels, total.log())


class Recorder(ArtifactSegmenter):
    """An artifact of 60x90 that labels by brightness and remembers what it was given."""

    def __init__(self, manifest: Manifest, outputs: tuple[str, ...]) -> None:
        kept = tuple(o for o in manifest.outputs if o.name in outputs)
        super().__init__(manifest.model_copy(update={"outputs": kept}), "recorder")
        self.given: list[np.ndarray] = []

    def infer(self, feed: np.ndarray) -> dict[str, np.ndarray]:
        self.given.append(feed)
        dark = torch.from_numpy((feed.mean(axis=3) < 100).astype(np.float32))[:, None]
        padded = functional.pad(dark, (0, 6, 0, 4), mode="replicate")  # 64x96, as the manifest says
        small = functional.avg_pool2d(padded, 8)
        logits = torch.cat([1 - small, small, *[small - 9] * 3], dim=1).numpy()
        made = {"labels": dark[:, 0].numpy().astype(np.uint8), "logits": logits}
        return {output.name: made[output.name] for output in self.manifest.outputs}


HALVES = np.full((120, 180, 3), 250, np.uint8)
HALVES[:, 90:] = 10


@pytest.mark.parametrize("outputs", [("labels",), ("logits",), ("labels", "logits")])
@pytest.mark.parametrize("fit", ["resize", "pad", "slide"])
def test_every_fit_finds_its_way_back(outputs, fit, small_export: ExportResult) -> None:  # type: ignore[no-untyped-def]
    artifact = Recorder(small_export.manifest, outputs)
    if fit == "slide" and "logits" not in outputs:
        with pytest.raises(InputError, match="--fit slide averages logits"):
            procedure_of(artifact.manifest, NATIVE, fit)
        return
    procedure = procedure_of(artifact.manifest, NATIVE, fit)
    for size in ((120, 180), (60, 90), (50, 180)):
        picture = HALVES[: size[0], 90 - size[1] // 2 : 90 + size[1] // 2]
        labels = artifact_labels(artifact, picture, procedure.passes(size))
        assert labels.shape == size
        middle = size[1] // 2
        inner = labels[:-9]  # the filling bleeds into the rows above it
        assert (inner[:, : middle - 9] == 0).all()
        assert (inner[:, middle + 9 :] == 1).all()
    assert {one.shape for one in artifact.given} == {(1, 60, 90, 3)}


def test_padding_is_the_mean_colour(small_export: ExportResult) -> None:
    procedure = procedure_of(small_export.manifest, NATIVE, "pad")
    (fed,) = feeds(HALVES[:50, :180], procedure.passes((50, 180))[0])
    assert fed.shape == (60, 90, 3)
    assert fed[25:].reshape(-1, 3).tolist() == [[124, 116, 104]] * (35 * 90)
    assert fed[0, 0].tolist() == [250] * 3


def test_the_fit_is_defaulted_by_the_outputs(small_export: ExportResult) -> None:
    both = small_export.manifest
    labels = both.model_copy(update={"outputs": both.outputs[:1]})
    assert procedure_of(both, NATIVE, None).fit == "slide"
    assert procedure_of(labels, NATIVE, None).fit == "resize"


@pytest.mark.parametrize(
    ("protocol", "fit", "words"),
    [
        (get_protocol("native", flip=True), None, "--flip averages logits"),
        (get_protocol("native", scales=(1, 2)), "pad", "--scales averages logits"),
        (NATIVE, "slide", "--fit slide averages logits"),
        (Protocol("square", window=60), None, ""),
    ],
)
def test_labels_are_not_averaged(protocol, fit, words, small_export: ExportResult) -> None:  # type: ignore[no-untyped-def]
    whole = small_export.manifest
    manifest = whole.model_copy(update={"outputs": whole.outputs[:1]})
    if words:
        with pytest.raises(InputError, match=words):
            procedure_of(manifest, protocol, fit)
        return
    square = manifest.input.model_copy(update={"width": 60})
    manifest = manifest.model_copy(update={"input": square})
    with pytest.raises(InputError, match="--protocol square averages logits"):
        procedure_of(manifest, protocol, fit)


def test_resize_has_one_size(small_export: ExportResult) -> None:
    with pytest.raises(InputError, match="--scales has no meaning"):
        procedure_of(small_export.manifest, get_protocol("native", scales=(1, 2)), "resize")


def test_logits_path_needs_no_torch(
    small_export: ExportResult,
) -> None:
    """An artifact's labels by any protocol, in a process that has no torch."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; import numpy as np\n"
        "from edaformer.engines.validate.procedure import artifact_labels, procedure_of\n"
        "from edaformer.engines.segmenters.artifact import ArtifactSegmenter\n"
        "from edaformer.engines.artifact.onnx_file import read_onnx_manifest\n"
        "from edaformer.evaluation.protocol import get_protocol\n"
        "class Zeros(ArtifactSegmenter):\n"
        "    def infer(self, feed):\n"
        "        return {'logits': np.zeros((1, 5, 8, 12), 'f4')}\n"
        f"manifest = read_onnx_manifest(Path({str(small_export.path)!r}))\n"
        "way = get_protocol('native', flip=True)\n"
        "passes = procedure_of(manifest, way, 'slide').passes((100, 120))\n"
        "image = np.zeros((100, 120, 3), np.uint8)\n"
        "print(artifact_labels(Zeros(manifest, ''), image, passes).shape)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "(100, 120)\n"), ran.stderr
