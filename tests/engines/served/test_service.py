"""The service: what it answers, what it refuses, and how it comes back from a failed engine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edaformer.engines.run.labeller import Labeller, open_labeller
from edaformer.engines.served.service import Service
from edaformer.errors import DeviceError, InputError, MissingError
from edaformer.export.exporter import ExportResult
from edaformer.manifest import Manifest
from tests.standins.network import Kind, make_manifest

Frame = NDArray[np.uint8]


class Fake:
    """Labels are the red values; margins tell how often it was asked."""

    description = "fake"

    def __init__(self, manifest: Manifest, *, failing: int = 0) -> None:
        self.manifest = manifest
        self.failing = failing
        self.asked = 0
        self.closed = False

    def __call__(self, frame: Frame, /) -> Frame:
        self.asked += 1
        if self.asked == self.failing:
            raise DeviceError("a CUDA call failed (oops); load the engine again")
        return np.ascontiguousarray(frame[..., 0])

    def with_margin(self, frame: Frame) -> tuple[Frame, NDArray[np.float32]]:
        return self(frame), np.full(frame.shape[:2], self.asked, np.float32)

    def stream(self, frames: object) -> Iterator[Frame]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def frame(height: int, width: int) -> Frame:
    return np.random.default_rng(height).integers(0, 5, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def fake() -> Fake:
    return Fake(make_manifest(Kind()))


@pytest.fixture
def service(fake: Fake) -> Service:
    return Service(Path("model.plan"), load=lambda _: fake)


def test_an_onnx_file_labels_as_edaformer_run_does(small_export: ExportResult) -> None:
    service, labeller = Service(small_export.path), open_labeller(small_export.path)
    for one in (frame(60, 90), frame(33, 47)):
        made = service.answer([one], {"labels"})
        assert list(made) == ["labels"]
        np.testing.assert_array_equal(made["labels"], labeller(one)[None])
    with pytest.raises(InputError, match="margins come from a plan with logits"):
        service.answer([frame(60, 90)], {"labels", "margins"})


def test_all_that_can_be_asked_for(service: Service) -> None:
    one, two = frame(7, 9), frame(7, 9)[::-1]
    made = service.answer([one, two], {"labels", "areas", "margins"})
    labels = np.stack([one[..., 0], two[..., 0]])
    np.testing.assert_array_equal(made["labels"], labels)
    assert made["areas"].dtype == np.int64
    assert made["areas"].tolist() == [[int((x == c).sum()) for c in range(5)] for x in labels]
    assert made["margins"].dtype == np.float32
    assert made["margins"][:, 0, 0].tolist() == [1, 2]


def test_a_png_has_the_labels_as_its_values(service: Service) -> None:
    made = service.answer([frame(7, 9)], {"png"})
    assert list(made) == ["png"]
    assert made["png"].shape[0] == 1
    picture = Image.open(io.BytesIO(made["png"].tobytes()))
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), frame(7, 9)[..., 0])


@pytest.mark.parametrize(
    ("frames", "wanted", "words"),
    [
        ([frame(7, 9), frame(9, 7)], {"labels"}, "one size; send each in its own"),
        ([frame(7, 9), frame(7, 9)], {"png"}, "a request has one png"),
        ([np.zeros((0, 9, 3), np.uint8)], {"labels"}, "expected an image"),
        ([np.zeros((9, 9, 4), np.uint8)], {"labels"}, "alpha"),
    ],
)
def test_refused(service: Service, frames: list[Frame], wanted: set[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        service.answer(frames, wanted)


def test_a_failed_engine_is_told_once_and_loaded_again() -> None:
    loaded = [Fake(make_manifest(Kind()), failing=2), Fake(make_manifest(Kind()))]
    loads: Iterator[Labeller] = iter(loaded)
    service = Service(Path("model.plan"), load=lambda _: next(loads))
    service.answer([frame(7, 9)], {"labels"})
    with pytest.raises(DeviceError, match="a CUDA call failed"):
        service.answer([frame(7, 9)], {"labels"})
    service.answer([frame(7, 9)], {"labels"})
    assert [one.asked for one in loaded] == [2, 1]
    service.close()
    assert loaded[1].closed


def test_an_engine_that_does_not_come_back_is_tried_at_every_request() -> None:
    found: list[Fake] = [Fake(make_manifest(Kind()), failing=1)]

    def load(_: Path) -> Labeller:
        if not found:
            raise MissingError("no GPU is visible")
        return found.pop()

    service = Service(Path("model.plan"), load=load)
    with pytest.raises(DeviceError):
        service.answer([frame(7, 9)], {"labels"})
    for _ in range(2):
        with pytest.raises(MissingError, match="no GPU"):
            service.answer([frame(7, 9)], {"labels"})
    found.append(Fake(make_manifest(Kind())))
    service.answer([frame(7, 9)], {"labels"})
