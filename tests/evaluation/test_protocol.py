"""The release's protocol, against the numbers of its configurations and a second computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edaformer.errors import InputError
from edaformer.evaluation.protocol import (
    PROTOCOLS,
    Pass,
    Tile,
    get_protocol,
    kept_ratio,
    plan_passes,
    window_starts,
)
from edaformer.labels.decide import PassLogits, TileLogits, decide
from edaformer.labels.geometry import bilinear, resize_labels

ADE, CITY, NATIVE = (PROTOCOLS[name] for name in ("ade20k", "cityscapes", "native"))


@pytest.mark.parametrize(
    ("size", "steps"),
    [
        ((512, 683), ((512, 683), (512, 704))),  # already 512: only aligned
        ((375, 500), ((512, 683), (512, 704))),  # up to 512: 500 * 512 / 375 = 682.67
        ((683, 512), ((683, 512), (704, 512))),  # the short side counts, whichever it is
        ((256, 256), ((512, 512),)),
        ((300, 3000), ((205, 2048), (224, 2048))),  # the long side is the limit
    ],
)
def test_ade20k_s_sizes(size: tuple[int, int], steps: tuple[tuple[int, int], ...]) -> None:
    (only,) = plan_passes(ADE, size)
    assert only.steps == steps
    assert only.tiles == (Tile(0, 0, *steps[-1], fed=steps[-1]),)


def test_cityscapes_windows() -> None:
    (only,) = plan_passes(CITY, (1024, 2048))
    assert [(t.top, t.left, t.fed) for t in only.tiles] == [
        (0, 0, (1024, 1024)), (0, 768, (1024, 1024)), (0, 1024, (1024, 1024)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (2048, 1024, 768, (0, 768, 1024)),  # the last window is shifted back
        (1024, 1024, 768, (0,)),
        (1025, 1024, 768, (0, 1)),
        (1792, 1024, 768, (0, 768)),  # it ends at the border by itself
        (600, 1024, 768, (0,)),  # smaller than a window
    ],
)
def test_window_starts(length: int, window: int, stride: int, starts: tuple[int, ...]) -> None:
    assert window_starts(length, window, stride) == starts


@pytest.mark.parametrize("size", [(1024, 2048), (700, 2048), (97, 211)])
def test_windows_cover_every_pixel(size: tuple[int, int]) -> None:
    for protocol, fixed in ((CITY, None), (NATIVE, (64, 96)), (CITY, (500, 333))):
        (only,) = plan_passes(protocol, size, fixed, "slide")
        seen = np.zeros(only.size, int)
        for tile in only.tiles:
            seen[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
            assert tile.top + tile.height <= only.size[0]
            assert tile.left + tile.width <= only.size[1]
        assert seen.min() >= 1


def test_ratio_is_kept_and_rounded_to_nearest() -> None:
    assert kept_ratio((375, 500), (2048, 512)) == (512, 683)
    assert kept_ratio((1, 5000), (2048, 512)) == (1, 2048)  # never nothing


def test_flip_and_scales_are_passes() -> None:
    protocol = get_protocol("ade20k", scales=(0.5, 1.0), flip=True)
    passes = plan_passes(protocol, (512, 512))
    assert [(p.size, p.flipped) for p in passes] == [
        ((256, 256), False), ((256, 256), True), ((512, 512), False), ((512, 512), True),
    ]  # fmt: skip
    assert protocol.label == "ade20k, scales 0.5,1, flipped too"


@pytest.mark.parametrize(
    ("fit", "steps", "tiles"),
    [
        ("resize", ((64, 96),), [(0, 0, 64, 96)]),
        ("pad", ((64, 85),), [(0, 0, 64, 85)]),
        ("slide", ((90, 120),), [(0, 0, 64, 96), (0, 24, 64, 96), (26, 0, 64, 96),
                                 (26, 24, 64, 96)]),
    ],
)  # fmt: skip
def test_a_fixed_graph_on_a_larger_image(fit, steps, tiles) -> None:  # type: ignore[no-untyped-def]
    (only,) = plan_passes(NATIVE, (90, 120), (64, 96), fit)
    assert only.steps == steps
    assert [(t.top, t.left, t.height, t.width) for t in only.tiles] == tiles
    assert {t.fed for t in only.tiles} == {(64, 96)}


def test_a_fixed_graph_on_a_smaller_image_pads_rather_than_enlarges() -> None:
    for fit in ("pad", "slide"):
        (only,) = plan_passes(NATIVE, (40, 100), (64, 120), fit)
        assert only == Pass(((40, 100),), flipped=False, tiles=(Tile(0, 0, 40, 100, (64, 120)),))


def test_a_fixed_graph_that_fits_follows_to_the_letter() -> None:
    for fit in ("resize", "pad", "slide"):
        assert plan_passes(CITY, (1024, 2048), (1024, 1024), fit) == plan_passes(CITY, (1024, 2048))
        assert plan_passes(NATIVE, (64, 96), (64, 96), fit) == plan_passes(NATIVE, (64, 96))


@pytest.mark.parametrize(
    ("name", "scales", "words"),
    [
        ("coco", (1.0,), "expected --protocol as one of native, ade20k, cityscapes, got 'coco'"),
        ("native", (), "got none"),
        ("native", (1.0, 1.0), "different ratios"),
        ("native", (float("nan"),), "from 0.1 to 8"),
        ("native", (9.0,), "from 0.1 to 8"),
    ],
)
def test_wrong_protocols(name: str, scales: tuple[float, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_protocol(name, scales=scales)


def torch_resize(array: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(array, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size", [(48, 72), (7, 100), (3, 4), (24, 12), (50, 51)])
def test_resize_is_torch_s(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).standard_normal((24, 36)).astype(np.float32)
    expected = torch_resize(torch.from_numpy(plane)[None, None], size)[0, 0].numpy()
    assert bilinear(plane, size) == pytest.approx(expected, abs=2e-5)


def test_whole_image_to_labels_and_margin_as_torch_does() -> None:
    """Two resizes with the padding cropped in between, then argmax and the top two."""
    logits = np.random.default_rng(1).standard_normal((7, 8, 12)).astype(np.float32)
    one = PassLogits(
        Pass(((60, 90),), flipped=False, tiles=(tile := Tile(0, 0, 60, 90, (60, 90)),)),
        (TileLogits(tile, logits, (64, 96)),),
    )
    made = decide((one,), (75, 101))
    padded = torch_resize(torch.from_numpy(logits)[None], (64, 96))[:, :, :60, :90]
    top = torch_resize(padded, (75, 101))[0].topk(2, dim=0)
    margin = (top.values[0] - top.values[1]).numpy()
    decided = margin > 1e-4
    assert decided.mean() > 0.99
    assert (made.labels == top.indices[0].numpy())[decided].all()
    assert made.margin.astype(np.float32) == pytest.approx(margin, rel=1e-3, abs=1e-4)


def test_windows_are_averaged_and_the_last_one_is_shifted_back() -> None:
    """Against loops over pixels: 1 row, windows of 16 with stride 12 on a length of 40."""
    generator = np.random.default_rng(2)
    starts = window_starts(40, 16, 12)
    assert starts == (0, 12, 24)
    tiles = tuple(Tile(0, left, 8, 16, (8, 16)) for left in starts)
    logits = [generator.standard_normal((3, 1, 2)).astype(np.float32) for _ in tiles]
    one = PassLogits(
        Pass(((8, 40),), flipped=False, tiles=tiles),
        tuple(TileLogits(t, own, (8, 16)) for t, own in zip(tiles, logits, strict=True)),
    )
    full = [torch_resize(torch.from_numpy(own)[None], (8, 16))[0].numpy() for own in logits]
    for label in range(3):
        plane = one.plane(label, (8, 40))
        for column in range(40):
            over = [(s, f) for s, f in zip(starts, full, strict=True) if s <= column < s + 16]
            expected = sum(f[label, 0, column - s] for s, f in over) / len(over)
            assert plane[0, column] == pytest.approx(expected, abs=1e-5)


def test_passes_average_probabilities_and_undo_the_flip() -> None:
    generator = np.random.default_rng(3)
    logits = [5 * generator.standard_normal((4, 4, 6)).astype(np.float32) for _ in range(2)]
    tile = Tile(0, 0, 32, 48, (32, 48))
    passes = tuple(
        PassLogits(Pass(((32, 48),), flipped=flipped, tiles=(tile,)),
                   (TileLogits(tile, own, (32, 48)),))
        for own, flipped in zip(logits, (False, True), strict=True)
    )  # fmt: skip
    chance = [torch_resize(torch.from_numpy(own)[None], (32, 48)).softmax(1) for own in logits]
    top = ((chance[0] + chance[1].flip(3)) / 2)[0].topk(2, dim=0)
    made = decide(passes, (32, 48))
    margin = (top.values[0].log() - top.values[1].log()).numpy()
    assert (made.labels == top.indices[0].numpy())[margin > 1e-3].all()
    assert made.margin.astype(np.float32) == pytest.approx(margin, rel=2e-3, abs=1e-3)


def test_by_hand_the_first_of_equals_wins() -> None:
    logits = np.zeros((2, 1, 2), np.float32)
    logits[1, 0, 1] = 2
    tile = Tile(0, 0, 1, 2, (1, 2))
    one = PassLogits(Pass(((1, 2),), flipped=False, tiles=(tile,)),
                     (TileLogits(tile, logits, (1, 2)),))  # fmt: skip
    made = decide((one,), (1, 2))
    assert made.labels.tolist() == [[0, 1]]
    assert made.margin.tolist() == [[0, 2]]


def test_labels_are_resized_by_pixel_centres() -> None:
    labels = np.array([[1, 2], [3, 4]], np.uint8)
    assert resize_labels(labels, (2, 4)).tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert resize_labels(labels, (1, 1)).tolist() == [[4]]
    assert resize_labels(np.arange(9, dtype=np.uint8).reshape(3, 3), (1, 3)).tolist() == [[3, 4, 5]]
