from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from edaformer.data.scenes import (
    CLASSES,
    HELD_OUT,
    IGNORE_LABEL,
    LARGEST,
    PALETTE,
    SMALLEST,
    Scene,
    draw_scene,
    held_out_seed,
    training_seed,
)
from edaformer.data.streets.dice import Dice, hashed_bytes, mix64, smooth_noise
from edaformer.data.streets.raster import cosine, sine
from edaformer.errors import InputError


def digest(scene: Scene) -> str:
    return hashlib.sha256(scene.image.tobytes() + scene.labels.tobytes()).hexdigest()


# The same under NumPy 1.23, 1.26 and 2.4. A change here changes every figure measured on scenes:
# then the demo checkpoint's mIoU must be measured again.
PINNED = [
    (0, 360, 480, "e05e13804c35d10135bd99a7a2bd0e34bd1e7e36301cc49b92e2041ee35d484d"),
    (1, 360, 480, "bc2bf8374c2fb3b98f382ada5e1d99564d0a4db2c22e590ca50e687323a6b953"),
    (7, 64, 64, "130673f0ceec2498ac85db7fa6aaf410b6a449afc37bea4cf61acd0b166f6ec8"),
    (2147483653, 97, 131, "b6ae8d76a717bd0320293962839b4b80940e1de2afa150dfea69a69951149207"),
    (
        9223372036854775819,
        512,
        512,
        "ab857a6a2306a376f0366939ba2d4b2b507e9dc7d4d764b10f5245837eb055ee",
    ),
    (123456789, 64, 333, "592ae7bdb80951fc6091271be3942bc99942dd0f443b6265de67554aa1c0d675"),
    (42, 480, 97, "dbf246aff1f3f4e8955bf7f7a04b3deb451b8a968f9d76ce9d11749c1f09329a"),
]


@pytest.mark.parametrize(("seed", "height", "width", "expected"), PINNED)
def test_a_seed_gives_the_same_bytes_everywhere(
    seed: int, height: int, width: int, expected: str
) -> None:
    assert digest(draw_scene(seed, height, width)) == expected


@pytest.mark.parametrize(
    ("height", "width"),
    [(64, 64), (65, 97), (64, 1024), (1024, 64), (129, 333), (360, 480), (511, 257)],
)
def test_any_size_has_the_right_shapes_types_and_values(height: int, width: int) -> None:
    for seed in range(6):
        scene = draw_scene(seed, height, width)
        assert scene.image.shape == (height, width, 3)
        assert scene.labels.shape == (height, width)
        assert scene.image.dtype == scene.labels.dtype == np.uint8
        assert scene.image.flags.c_contiguous
        assert int(scene.labels.max()) <= IGNORE_LABEL
        assert int(scene.image.max()) - int(scene.image.min()) > 60  # neither black nor white


def test_drawing_another_scene_in_between_changes_nothing() -> None:
    first = draw_scene(11, 120, 160)
    draw_scene(12, 97, 64)
    again = draw_scene(11, 120, 160)
    assert digest(first) == digest(again)


def test_a_finer_picture_shows_the_same_street() -> None:
    for seed in range(8):
        coarse, fine = draw_scene(seed, 180, 240).labels, draw_scene(seed, 720, 960).labels
        assert float((coarse == fine[2::4, 2::4]).mean()) > 0.9


def test_seeds_give_different_pictures() -> None:
    seen = {digest(draw_scene(seed, 96, 128)) for seed in range(40)}
    assert len(seen) == 40


def test_numpy_integers_are_seeds_and_sizes_too() -> None:
    scene = draw_scene(np.int64(5), np.int32(64), np.uint16(80))
    assert digest(scene) == digest(draw_scene(5, 64, 80))


# Percent of all pixels over many scenes, and percent of scenes with at least 100 pixels of it.
FREQUENCY = [
    ("sky", 5.0, 90),
    ("building", 15.0, 95),
    ("pole", 1.5, 95),
    ("road", 15.0, 95),
    ("pavement", 3.0, 90),
    ("tree", 5.0, 90),
    ("sign symbol", 1.0, 85),
    ("fence", 1.5, 60),
    ("car", 4.0, 85),
    ("pedestrian", 1.0, 80),
    ("bicyclist", 1.0, 75),
]


def test_every_class_is_frequent_enough_to_be_learnt() -> None:
    count, present, scenes = np.zeros(IGNORE_LABEL + 1, np.int64), Counter[int](), 60
    for index in range(scenes):
        found = np.bincount(
            draw_scene(training_seed(index), 240, 320).labels.reshape(-1),
            minlength=IGNORE_LABEL + 1,
        )
        count += found
        present.update(np.flatnonzero(found >= 100).tolist())
    for label, (name, share, scenes_with) in enumerate(FREQUENCY):
        assert CLASSES[label] == name
        assert 100 * count[label] / count.sum() >= share, name
        assert 100 * present[label] / scenes >= scenes_with, name
    assert 0 < 100 * count[IGNORE_LABEL] / count.sum() < 2


def test_classes_cannot_be_told_by_colour_alone() -> None:
    """A per-colour majority vote, fitted on the very same scenes, must stay a poor segmenter."""
    votes = np.zeros((4096, IGNORE_LABEL + 1), np.int64)
    scenes = [draw_scene(training_seed(index), 120, 160) for index in range(40)]
    coarse = [(s.image >> 4).astype(np.int64) @ np.array([256, 16, 1]) for s in scenes]
    for colour, scene in zip(coarse, scenes, strict=True):
        np.add.at(votes, (colour.reshape(-1), scene.labels.reshape(-1)), 1)
    best = votes.argmax(axis=1)
    ious = []
    for label in range(len(CLASSES)):
        hit = sum(int(((best[c] == label) & (s.labels == label)).sum())
                  for c, s in zip(coarse, scenes, strict=True))  # fmt: skip
        union = sum(int(((best[c] == label) | (s.labels == label)).sum())
                    for c, s in zip(coarse, scenes, strict=True))  # fmt: skip
        ious.append(hit / union)
    assert sum(ious) / len(ious) < 0.35


def test_names_and_colours_are_one_for_each_class() -> None:
    assert len(CLASSES) == len(PALETTE) == len(set(PALETTE)) == IGNORE_LABEL == 11


def test_training_and_held_out_seeds_are_disjoint() -> None:
    last = HELD_OUT - 1
    assert (training_seed(0), training_seed(last)) == (0, last)
    assert (held_out_seed(0), held_out_seed(last)) == (last + 1, 2 * last + 1)


@pytest.mark.parametrize(
    ("seed", "height", "width", "says"),
    [
        (0, SMALLEST - 1, 64, "height must be from 64 to 2048; got 63"),
        (0, 64, LARGEST + 1, "width must be from 64 to 2048; got 2049"),
        (-1, 64, 64, "seed must be from 0"),
        (1 << 64, 64, 64, "seed must be from 0"),
        (0, 64.0, 64, "height must be an integer"),
        ("7", 64, 64, "seed must be an integer"),
        (0, 64, None, "width must be an integer"),
        (True, 64, 64, "seed must be an integer"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(
    seed: object, height: object, width: object, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        draw_scene(seed, height, width)  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [-1, HELD_OUT])
def test_indices_outside_a_range_are_refused(index: int) -> None:
    for seed_of in (training_seed, held_out_seed):
        with pytest.raises(InputError, match="index must be from 0"):
            seed_of(index)


def test_mixing_matches_the_published_splitmix64_stream() -> None:
    golden = (
        0x9E3779B97F4A7C15  # state after one step from seed 0; outputs as in the paper's C code
    )
    assert mix64(golden) == 0xE220A8397B1DCDAF
    assert mix64(2 * golden) == 0x6E789E6AA1B965F4


def test_noise_fields_are_even_and_tile() -> None:
    assert abs(float(hashed_bytes(1, 1 << 16).mean()) - 127.5) < 1
    noise = smooth_noise(3, 64, 64, 8)
    assert 0 <= int(noise.min()) < int(noise.max()) <= 255
    jump = np.abs(noise[:, 0] - noise[:, -1]).max()
    assert jump <= np.abs(np.diff(noise, axis=1)).max()


def test_dice_stay_in_range() -> None:
    dice = Dice(1)
    throws = [dice.between(-2, 3) for _ in range(600)]
    assert set(throws) == {-2, -1, 0, 1, 2, 3}


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 0), (30, 500), (90, 1000), (180, 0), (210, -500), (-90, -1000)]
)
def test_integer_sine(degrees: int, expected: int) -> None:
    assert abs(sine(degrees, 1000) - expected) <= 2
    assert cosine(degrees - 90, 1000) == sine(degrees, 1000)
