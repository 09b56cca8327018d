"""Outputs are named after their inputs, never twice the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaformer.data import DataRecord
from edaformer.data.archive import write_archive
from edaformer.errors import DataError
from edaformer.media.inputs import find_sources
from edaformer.media.names import names_of, unique_keys


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        (["x.png"], ["x"]),
        (["x.png", "y.png"], ["x", "y"]),
        (["x.png", "x.jpg"], ["x.png", "x.jpg"]),  # the suffix tells them apart
        (["a/x.png", "b/x.png"], ["a/x", "b/x"]),  # the folder does
        (["a/x.png", "a/x.jpg", "b/x.png"], ["a/x", "x.jpg", "b/x"]),
        (["a/c/x.png", "b/c/x.png"], ["a/c/x", "b/c/x"]),
        (["x.tar.png"], ["x.tar"]),
        ([".png"], [".png"]),
    ],
)
def test_explicit_files(files: list[str], keys: list[str]) -> None:
    names = [names_of(Path("/data") / file, Path(Path(file).name)) for file in files]
    assert unique_keys(names) == keys


def test_frames_of_a_video_do_not_fall_among_the_pictures_of_a_folder() -> None:
    video = names_of(Path("/d/clip.mp4"), Path("clip.mp4"))
    picture = names_of(Path("/d/clip/000000.png"), Path("clip/000000.png"))
    assert unique_keys([video, picture]) == ["clip.mp4", "clip/000000"]


def test_what_has_no_path_is_numbered() -> None:
    assert unique_keys([("pipeline",), ("pipeline",), ("pipeline",)]) == [
        "pipeline", "pipeline-2", "pipeline-3",
    ]  # fmt: skip


def test_names_depend_on_the_inputs_alone(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "b/y.mp4", "b/c/x.png", "b/.hidden.png", "b/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "b/loop").symlink_to(tmp_path / "b")
    inputs = [str(tmp_path / "a/x.png"), str(tmp_path / "b"), str(tmp_path / "a" / "x.png")]
    keys = [source.key for source in find_sources(inputs, size=(64, 64))]
    assert keys == ["a/x", "b/x", "y", "c/x"]
    left = find_sources([str(tmp_path)], size=(64, 64), leave_out=[tmp_path / "b"])
    assert [source.name for source in left] == [str(tmp_path / "a/x.png")]


def test_a_reference_file_gives_its_images(tmp_path: Path) -> None:
    path, pixels = tmp_path / "street.ref", np.zeros((4, 6, 3), np.uint8)
    with write_archive(path, "reference") as archive:
        archive.add("crossing", pixels, {"truth": pixels[..., 0]})
        record = DataRecord(
            name="camvid:x", classes=("road",), ignore_label=255, palette=None, notes=()
        )
        archive.about = {"data": record.model_dump(mode="json"), "protocol": "native"}
    (source,) = find_sources([f"reference:{path}"], size=(64, 64))
    (frame,) = source.frames()
    assert (source.name, source.key, source.count) == ("reference", "reference", 1)
    assert frame.name == "crossing"
    np.testing.assert_array_equal(frame.pixels, pixels)
    with pytest.raises(DataError, match="cannot be read"):
        find_sources(["reference:nowhere.ref"], size=(64, 64))
