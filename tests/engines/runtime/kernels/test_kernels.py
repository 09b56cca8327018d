"""The kernels, compiled for the host, against PyTorch and against the NumPy definition."""

from __future__ import annotations

import ctypes
import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from edaformer.engines.runtime import kernels
from edaformer.engines.runtime.kernels import PTX, Resizing
from edaformer.labels.geometry import Geometry, labels_from_logits, resize_labels
from edaformer.labels.resize import resize_picture
from edaformer.preprocess import MEAN, RESIZES, STD, Resize, normalise
from tests.draws import LOGITS, Rng, random_geometry, random_logits
from tests.standins.kernels import library, run

FILL = (124, 116, 104)
CASES = 200
TIE = 1e-5  # of the top-2 margin, below which PyTorch's rounding may decide otherwise


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Rng:
    return np.random.default_rng(getattr(request, "param", 0))


def guarded(shape: tuple[int, ...], dtype: type, *, shift: int = 0) -> tuple[Any, Any]:
    """An array at an odd address, and the bytes around it: what is written beside it is seen."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    whole = np.full(size + 64, 0xAB, np.uint8)
    start = 16 + -whole.ctypes.data % 16 + shift * np.dtype(dtype).itemsize
    return whole[start : start + size].view(dtype).reshape(shape), whole


def untouched(whole: NDArray[np.uint8], inner: NDArray[Any]) -> bool:
    start = inner.ctypes.data - whole.ctypes.data
    around = np.concatenate([whole[:start], whole[start + inner.nbytes :]])
    return bool((around == 0xAB).all())


def argmax(
    logits: NDArray[Any], geometry: Geometry, *, margin: bool = False, shift: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    labels, around_labels = guarded((len(logits), *geometry.source), np.uint8, shift=shift)
    margins, around_margins = guarded((len(logits), *geometry.source), np.float32, shift=shift)
    half = logits.dtype == np.float16
    where = margins.ctypes.data if margin else None
    run(
        kernels.argmax(
            logits.ctypes.data, logits.shape, labels.ctypes.data, geometry, half=half, margin=where
        )
    )
    assert untouched(around_labels, labels)
    assert untouched(around_margins, margins)
    return labels, margins


def on_host(rule: Resize, geometry: Geometry) -> Resizing:
    """The tables, and their address here."""
    made = Resizing.of(rule, geometry)
    return replace(made, address=made.tables.ctypes.data)


def resize_frames(
    frames: NDArray[np.uint8],
    geometry: Geometry,
    rule: Resize,
    *,
    size: tuple[int, int] | None = None,
    reversed_colours: bool = False,
    shift: int = 0,
) -> NDArray[np.uint8]:
    size = size or geometry.valid
    out, around = guarded((len(frames), *size, 3), np.uint8, shift=shift)
    resizing = on_host(rule, geometry)
    run(
        kernels.frame_to_image(
            frames.ctypes.data, out.ctypes.data, len(frames), geometry, resizing,
            size=size, fill=FILL, reversed_colours=reversed_colours,
        )
    )  # fmt: skip
    assert untouched(around, out)
    return out


def frames_to_tensor(
    frames: NDArray[np.uint8],
    geometry: Geometry,
    rule: Resize,
    fill: tuple[float, float, float] = (0, 0, 0),
) -> NDArray[np.float32]:
    out, around = guarded((len(frames), 3, *geometry.padded), np.float32)
    resizing = on_host(rule, geometry)
    run(
        kernels.frame_to_tensor(
            frames.ctypes.data, out.ctypes.data, len(frames), geometry, resizing,
            reversed_colours=False, mean=MEAN, std=STD, fill=fill,
        )
    )  # fmt: skip
    assert untouched(around, out)
    return out


class TestArgmax:
    @pytest.mark.parametrize("rng", range(CASES), indirect=True)
    def test_as_pytorch(self, rng: Rng) -> None:
        """Equal to interpolate and argmax, except where the two best are as good as equal."""
        geometry, size = random_geometry(rng)
        logits = rng.standard_normal((1, int(rng.integers(1, 40)), *size)).astype(np.float32)
        labels, margin = argmax(logits, geometry, margin=True)
        # scale factors: source size over logits, as if the whole padded area were shown
        factors = [1 / scale for scale in geometry.logits_scale(size)]
        upsampled = torch.ops.aten.upsample_bilinear2d(
            torch.from_numpy(logits), list(geometry.source), False, *factors
        )
        wrong = labels != upsampled.argmax(dim=1).numpy()
        assert (margin[wrong] < TIE).all()
        assert wrong.mean() < 1e-2

    @pytest.mark.parametrize("rng", range(20), indirect=True)
    def test_as_the_deployment_graph(self, rng: Rng) -> None:
        """At the valid size: interpolate to the padded size, argmax, crop."""
        geometry, size = random_geometry(rng)
        geometry = Geometry(geometry.valid, geometry.valid, geometry.padded)
        logits = rng.standard_normal((2, 19, *size)).astype(np.float32)
        labels, margin = argmax(logits, geometry, margin=True)
        upsampled = functional.interpolate(
            torch.from_numpy(logits), size=geometry.padded, mode="bilinear", align_corners=False
        )
        height, width = geometry.valid
        wrong = labels != upsampled.argmax(dim=1).numpy()[:, :height, :width]
        assert (margin[wrong] < TIE).all()

    @pytest.mark.parametrize("rng", range(40), indirect=True)
    @pytest.mark.parametrize("kind", LOGITS)
    def test_bit_for_bit_the_definition(self, rng: Rng, kind: str) -> None:
        """What the kernel leaves out can never have won: labels and margins are those of all."""
        geometry, size = random_geometry(rng)
        classes = int(rng.choice([1, 2, 19, 32, 33, 65]))
        logits = random_logits(rng, kind, (2, classes, *size))
        labels, _ = argmax(logits, geometry, shift=int(rng.integers(4)))
        again, margins = argmax(logits, geometry, margin=True, shift=int(rng.integers(4)))
        for index, one in enumerate(logits):
            expected, margin = labels_from_logits(one, geometry)
            np.testing.assert_array_equal(labels[index], expected)
            np.testing.assert_array_equal(again[index], expected)
            np.testing.assert_array_equal(margins[index], margin)

    @pytest.mark.parametrize("classes", [171, 256])
    def test_many_classes(self, rng: Rng, classes: int) -> None:
        logits = rng.standard_normal((1, classes, 5, 7)).astype(np.float32)
        geometry = Geometry((40, 56), (40, 56), (40, 56))
        labels, _ = argmax(logits, geometry)
        np.testing.assert_array_equal(labels[0], labels_from_logits(logits[0], geometry)[0])
        assert labels.max() > 150

    def test_the_first_of_equals_wins(self) -> None:
        logits = np.zeros((1, 5, 3, 4), np.float32)
        logits[:, 2:4] = 1
        labels, margin = argmax(logits, Geometry((24, 32), (24, 32), (24, 32)), margin=True)
        assert (labels == 2).all()
        assert (margin == 0).all()

    def test_large_upsampling(self, rng: Rng) -> None:
        """A frame far larger than the network's input: a row of cells is shared by blocks."""
        logits = rng.standard_normal((2, 6, 4, 40)).astype(np.float32)
        geometry = Geometry((301, 1001), (32, 320), (32, 320))
        launch = kernels.argmax(0, logits.shape, 0, geometry, half=False)
        assert launch.grid[2] > 2
        labels, _ = argmax(logits, geometry)
        for index, one in enumerate(logits):
            np.testing.assert_array_equal(labels[index], labels_from_logits(one, geometry)[0])


@pytest.mark.parametrize("rule", RESIZES)
class TestFrame:
    @pytest.mark.parametrize("rng", range(CASES), indirect=True)
    def test_bit_for_bit_the_definition(self, rng: Rng, rule: Resize) -> None:
        source, valid = ((int(a), int(b)) for a, b in rng.integers(1, 70, (2, 2)))
        frames = rng.integers(0, 256, (1, *source, 3), np.uint8)
        made = resize_frames(frames, Geometry(source, valid, valid), rule)
        np.testing.assert_array_equal(made[0], resize_picture(frames[0], valid, rule))

    @pytest.mark.parametrize(
        ("source", "valid"),
        [
            ((1, 1), (1, 1)), ((1, 1), (6, 9)), ((1, 7), (3, 2)), ((7, 1), (2, 3)),
            ((2, 2), (65, 33)), ((480, 640), (32, 32)), ((400, 3), (1, 1)), ((3, 700), (2, 1)),
            ((90, 160), (64, 64)), ((31, 1000), (64, 600)),
        ],
    )  # fmt: skip
    def test_from_one_pixel_to_many_hundreds(
        self, rng: Rng, rule: Resize, source: tuple[int, int], valid: tuple[int, int]
    ) -> None:
        """Noise, and black and white alone, whose sums are the largest there are."""
        frames = rng.integers(0, 256, (3, *source, 3), np.uint8)
        frames[1] = 255 * (frames[1] > 127)
        frames[2] = 255
        made = resize_frames(frames, Geometry(source, valid, valid), rule)
        for frame, one in zip(frames, made, strict=True):
            np.testing.assert_array_equal(one, resize_picture(frame, valid, rule))
        assert (made[2] == 255).all()

    @pytest.mark.parametrize("valid", [(10, 24), (5, 4)])
    @pytest.mark.parametrize(("shift", "offset"), itertools.product(range(4), range(4)))
    def test_any_alignment(
        self, rng: Rng, rule: Resize, shift: int, offset: int, valid: tuple[int, int]
    ) -> None:
        data = rng.integers(0, 256, 2 * 13 * 17 * 3 + 8, np.uint8)
        frames = data[offset : offset + 2 * 13 * 17 * 3].reshape(2, 13, 17, 3)
        made = resize_frames(frames, Geometry((13, 17), valid, valid), rule, shift=shift)
        for frame, one in zip(frames, made, strict=True):
            np.testing.assert_array_equal(one, resize_picture(frame, valid, rule))

    def test_nothing_beside_the_frame_is_read(self, rng: Rng, rule: Resize) -> None:
        """Words are read whole, at the frame's ends too: what else is in them changes nothing."""
        geometry = Geometry((5, 7), (9, 4), (9, 4))
        made = []
        for around in (0, 255):
            data = np.full(5 * 7 * 3 + 64, around, np.uint8)
            frames = data[29 : 29 + 5 * 7 * 3].reshape(1, 5, 7, 3)
            frames[:] = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(frames.shape)
            made.append(resize_frames(frames, geometry, rule))
        np.testing.assert_array_equal(*made)

    def test_the_same_size_is_the_same_frame(self, rng: Rng, rule: Resize) -> None:
        frames = rng.integers(0, 256, (2, 7, 9, 3), np.uint8)
        same = Geometry((7, 9), (7, 9), (7, 9))
        np.testing.assert_array_equal(resize_frames(frames, same, rule), frames)
        np.testing.assert_array_equal(
            resize_frames(frames, same, rule, reversed_colours=True), frames[..., ::-1]
        )

    @pytest.mark.parametrize("valid", [(20, 30), (3, 5)])
    def test_reversed_colours(self, rng: Rng, rule: Resize, valid: tuple[int, int]) -> None:
        frames = rng.integers(0, 256, (2, 11, 13, 3), np.uint8)
        geometry = Geometry((11, 13), valid, valid)
        made = resize_frames(frames, geometry, rule, reversed_colours=True)
        np.testing.assert_array_equal(made, resize_frames(frames, geometry, rule)[..., ::-1])

    @pytest.mark.parametrize("rng", range(20), indirect=True)
    def test_tensor_is_the_image_normalised(self, rng: Rng, rule: Resize) -> None:
        source, valid = ((int(a), int(b)) for a, b in rng.integers(1, 50, (2, 2)))
        padded = (valid[0] + int(rng.integers(0, 32)), valid[1] + int(rng.integers(0, 32)))
        frames = rng.integers(0, 256, (2, *source, 3), np.uint8)
        geometry = Geometry(source, valid, padded)
        made = frames_to_tensor(frames, geometry, rule)
        expected = np.zeros_like(made)
        resized = resize_frames(frames, geometry, rule)
        expected[:, :, : valid[0], : valid[1]] = normalise(resized)
        np.testing.assert_array_equal(made, expected)
        outside = np.ones(padded, bool)
        outside[: valid[0], : valid[1]] = False
        made = frames_to_tensor(frames, geometry, rule, MEAN)
        assert (made[:, :, outside] == np.float32(MEAN)[:, None]).all()
        np.testing.assert_array_equal(made[:, :, ~outside], expected[:, :, ~outside])

    @pytest.mark.parametrize("rng", range(20), indirect=True)
    def test_image_is_filled_outside_the_valid_area(self, rng: Rng, rule: Resize) -> None:
        source, valid = ((int(a), int(b)) for a, b in rng.integers(1, 50, (2, 2)))
        size = (valid[0] + int(rng.integers(0, 32)), valid[1] + int(rng.integers(0, 32)))
        frames = rng.integers(0, 256, (2, *source, 3), np.uint8)
        geometry = Geometry(source, valid, size)
        made = resize_frames(frames, geometry, rule, size=size)
        expected = np.empty_like(made)
        expected[:] = FILL
        expected[:, : valid[0], : valid[1]] = resize_frames(frames, geometry, rule)
        np.testing.assert_array_equal(made, expected)


class TestLabels:
    @pytest.mark.parametrize("rng", range(CASES), indirect=True)
    def test_as_pytorch(self, rng: Rng) -> None:
        valid, source = ((int(a), int(b)) for a, b in rng.integers(1, 70, (2, 2)))
        held = (valid[0] + int(rng.integers(0, 9)), valid[1] + int(rng.integers(0, 9)))
        padded = rng.integers(0, 256, (2, *held), np.uint8)
        labels = padded[:, : valid[0], : valid[1]]
        made, around = guarded((2, *source), np.uint8, shift=int(rng.integers(4)))
        geometry = Geometry(source, valid, valid)
        run(kernels.labels_nearest(padded.ctypes.data, made.ctypes.data, 2, geometry, held))
        assert untouched(around, made)
        expected = functional.interpolate(
            torch.from_numpy(labels.copy())[:, None].float(), size=source, mode="nearest-exact"
        )
        np.testing.assert_array_equal(made, expected[:, 0].numpy())
        np.testing.assert_array_equal(made[0], resize_labels(labels[0], source))


def test_python_knows_the_layout() -> None:
    known = (ctypes.c_int * 7)()
    library().layout(known)
    assert list(known) == [
        *map(ctypes.sizeof, (kernels.FrameJob, kernels.Colours)),
        *map(ctypes.sizeof, (kernels.ArgmaxJob, kernels.LabelsJob)),
        kernels.FRAME_THREADS,
        kernels.ARGMAX_THREADS,
        kernels.LABELS_THREADS,
    ]


def test_arguments_are_as_long_as_the_ptx_takes() -> None:
    """A driver refuses a launch with a byte too many, such as a structure's padding."""
    taken: dict[str, int] = {}
    for name, size in re.findall(r"\.param .*\.b8 (\w+)_param_\d+\[(\d+)\]", PTX.read_text()):
        taken[name] = taken.get(name, 0) + int(size)
    geometry, logits = Geometry((8, 8), (8, 8), (8, 8)), (1, 2, 1, 1)
    frame = (0, 0, 1, geometry, Resizing.of("opencv-bilinear", geometry))
    launches = [
        kernels.frame_to_image(*frame, size=(8, 8), fill=FILL, reversed_colours=False),
        kernels.frame_to_tensor(*frame, reversed_colours=False, mean=MEAN, std=STD),
        kernels.labels_nearest(0, 0, 1, geometry, (8, 8)),
        *(kernels.argmax(0, logits, 0, geometry, half=half, margin=margin)
          for half in (False, True) for margin in (None, 0)),
    ]  # fmt: skip
    assert {launch.kernel: len(launch.arguments) for launch in launches} == taken


def test_every_half() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    made = np.empty(1 << 16, np.float32)
    pointer = ctypes.c_void_p(halves.ctypes.data), ctypes.c_void_p(made.ctypes.data)
    library().half_to_float(*pointer, 1 << 16)
    np.testing.assert_array_equal(made, halves.view(np.float16).astype(np.float32))
