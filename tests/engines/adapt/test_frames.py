"""Frames: every kind of input, thinned videos, what is held out, and what a hash is of."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from edaformer.engines.adapt.frames import find_frames, thinned
from edaformer.errors import FrameError, InputError
from edaformer.export.verify import natural_noise
from tests.folder import lay_folder

SIZE = (32, 48)


def lay(folder: Path, count: int, size: tuple[int, int] = SIZE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for at, image in enumerate(natural_noise(count, size)):
        Image.fromarray(image).save(folder / f"{at:02}.png")
    return folder


def find(*inputs: object, size: tuple[int, int] = SIZE):
    return find_frames([str(one) for one in inputs], size, "opencv-bilinear")


def test_a_folder_of_one_film_holds_out_its_end(tmp_path: Path) -> None:
    frames = find(lay(tmp_path / "film", 16))
    assert (len(frames), len(frames.learnt), len(frames.held)) == (16, 14, 2)
    pictures = natural_noise(16, SIZE)
    assert np.array_equal(frames.lesson(0), pictures[0])
    assert all(np.array_equal(a, b) for a, b in zip(frames.examples(8), pictures[14:], strict=True))


def test_of_several_folders_a_whole_one_is_held_out(tmp_path: Path) -> None:
    for name, count in (("long", 10), ("short", 3), ("middle", 6)):
        lay(tmp_path / name, count)
    frames = find(tmp_path)
    assert {Path(item.group).name for item in frames.held} == {"short"}
    assert len(frames.learnt) == 16


def test_frames_have_the_size_they_are_deployed_at(tmp_path: Path) -> None:
    frames = find(lay(tmp_path / "a", 8, (40, 70)))
    assert frames.lesson(3).shape == (*SIZE, 3)


def test_the_hash_is_of_the_pixels_files_and_of_their_order(tmp_path: Path) -> None:
    one, same = find(lay(tmp_path / "a", 8)), find(lay(tmp_path / "b", 8))
    assert one.sha256 == same.sha256
    Image.fromarray(natural_noise(1, SIZE)[0][::-1]).save(tmp_path / "b" / "05.png")
    assert find(tmp_path / "b").sha256 != one.sha256


def test_a_data_sets_labels_are_not_looked_at(tmp_path: Path) -> None:
    pairs = [(image, np.zeros(SIZE, np.uint8)) for image in natural_noise(8, SIZE)]
    data = lay_folder(tmp_path / "data", pairs, ("road", "sky"))
    for label in (data / "labels").iterdir():
        label.write_bytes(b"no picture")
    frames = find(f"folder:{data}")
    assert np.array_equal(frames.lesson(0), pairs[0][0])


def test_scenes_are_drawn_at_the_size() -> None:
    frames = find("scenes:8", size=(96, 128))
    assert frames.lesson(0).shape == (96, 128, 3)
    assert len(frames.held) == 2


def test_a_video_is_read_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "bgr0"
        for image in natural_noise(9, SIZE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    frames = find(path)
    path.unlink()
    assert len(frames) == 9
    assert np.array_equal(frames.lesson(1), natural_noise(9, SIZE)[1])


@pytest.mark.parametrize(("count", "most", "kept"), [
    (5, 8, [0, 1, 2, 3, 4]), (8, 8, list(range(8))), (9, 8, [0, 2, 4, 6, 8]),
    (33, 8, [0, 8, 16, 24, 32]),
])  # fmt: skip
def test_frames_of_a_long_video_are_evenly_apart(count: int, most: int, kept: list[int]) -> None:
    found = thinned((np.full((1, 1, 3), at, np.uint8) for at in range(count)), most)
    assert [int(one[0, 0, 0]) for one in found] == kept


def test_too_few_live_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at least 8 frames, .* found 5; name more with --frames"):
        find(lay(tmp_path / "few", 5))
    with pytest.raises(InputError, match="goes by once; record it first"):
        find("0")
    folder = lay(tmp_path / "bad", 9)
    (folder / "04.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    frames = find(folder)
    with pytest.raises(FrameError, match=r"04\.png: .*; replace it or take it out"):
        frames.lesson(4)


def test_of_many_held_out_frames_some_are_asked_for(tmp_path: Path) -> None:
    frames = find(lay(tmp_path / "a", 40))
    assert len(frames.held) == 5
    pictures = natural_noise(40, SIZE)
    asked = list(frames.examples(3))
    assert [np.array_equal(a, pictures[at]) for a, at in zip(asked, (35, 37, 39), strict=True)] == [
        True, True, True,
    ]  # fmt: skip
