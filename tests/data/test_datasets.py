from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edaformer.data import open_dataset
from edaformer.data.datasets import SCENES
from edaformer.data.scenes import draw_scene, held_out_seed
from edaformer.errors import DataError
from tests.field.pictures import heic_head, turned

SIZE = (64, 96)


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("b", "a"):
        write(tmp_path / f"images/{name}.png", generator.integers(0, 255, (4, 6, 3)).astype("u1"))
        write(tmp_path / f"labels/{name}.png", np.full((4, 6), 1, np.uint8))
    (tmp_path / "classes.txt").write_text("road\n sky \n\n")
    return tmp_path


def test_folder(folder: Path) -> None:
    data = open_dataset(f"folder:{folder}", SIZE)
    assert (len(data), data.classes, data.ignore_label) == (2, ("road", "sky"), 255)
    names = [sample.name for sample in data]
    assert names == ["a", "b"]
    assert len(data.head(1)) == 1
    assert data.head(None) is data


def test_camvid_layout(tmp_path: Path) -> None:
    write(tmp_path / "val/x.png", np.zeros((4, 6, 3), np.uint8))
    write(tmp_path / "valannot/x.png", np.full((4, 6), 11, np.uint8))
    data = open_dataset(f"camvid:{tmp_path}", SIZE)
    assert (len(data.classes), data.ignore_label) == (11, 11)
    (sample,) = data
    assert sample.image.shape == (4, 6, 3)


def test_palette_labels_are_indices_and_grey_images_become_rgb(folder: Path) -> None:
    labels = Image.fromarray(np.full((4, 6), 1, np.uint8), mode="L").convert("P")
    labels.putpalette([9, 0, 9] * 256)
    for name in ("a", "b"):
        labels.save(folder / f"labels/{name}.png")
    write(folder / "images/a.png", np.full((4, 6), 7, np.uint8))
    first = next(iter(open_dataset(f"folder:{folder}", SIZE)))
    assert (first.labels == 1).all()
    assert (first.image == 7).all()
    assert first.image.shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda p: (p / "classes.txt").unlink(), "expected class names"),
        (lambda p: (p / "classes.txt").write_text(""), "expected 1 to 255 class names"),
        (lambda p: (p / "labels/a.png").unlink(), "1 of 2 images have no labels"),
        (lambda p: (p / "labels").rename(p / "lab"), "is not there"),
        (lambda p: (p / "images/a.png").write_bytes(b"text"), "cannot be read as an image"),
        (lambda p: (p / "labels/a.png").write_bytes(b""), "cannot be read as a label image"),
        (
            lambda p: write(p / "labels/a.png", np.zeros((4, 5), np.uint8)),
            "a label for every pixel",
        ),
        (lambda p: write(p / "labels/a.png", np.zeros((4, 6, 3), np.uint8)), "has mode RGB"),
        (lambda p: write(p / "labels/a.png", np.full((4, 6), 2, np.uint8)), "holds label 2"),
        (lambda p: [f.unlink() for f in (p / "images").iterdir()], "holds no images"),
    ],
)
def test_wrong_trees(harm, words: str, folder: Path) -> None:  # type: ignore[no-untyped-def]
    harm(folder)
    with pytest.raises(DataError, match=words):
        list(open_dataset(f"folder:{folder}", SIZE))


@pytest.mark.parametrize(
    "spec", ["camvid", "camvid:", "voc:/x", "", ":x", "/some/folder", "scenes:"]
)
def test_wrong_specs(spec: str) -> None:
    with pytest.raises(
        DataError, match="expected --data as one of scenes, scenes:N, camvid:DIR, folder:DIR"
    ):
        open_dataset(spec, SIZE)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found nothing there"):
        open_dataset(f"camvid:{tmp_path / 'no'}", SIZE)


def test_scenes_are_held_out_drawn_at_the_size_and_in_order() -> None:
    data = open_dataset("scenes", SIZE)
    assert (len(data), data.ignore_label, data.classes[0]) == (SCENES, 11, "sky")
    first, second = open_dataset("scenes:2", SIZE)
    assert (first.image.shape, first.labels.shape) == ((64, 96, 3), (64, 96))
    assert (first.image == draw_scene(held_out_seed(0), *SIZE).image).all()
    assert (next(iter(data.head(1))).image == first.image).all()
    assert (first.image != second.image).any()
    assert len(data.head(10**6)) == SCENES


@pytest.mark.parametrize("spec", ["scenes:0", "scenes:x", "scenes:-1", "scenes:" + "9" * 50])
def test_wrong_numbers_of_scenes(spec: str) -> None:
    with pytest.raises(DataError, match="expected scenes:N with N from 1 on"):
        open_dataset(spec, SIZE)


def test_scenes_have_limits_of_size() -> None:
    with pytest.raises(DataError, match="drawn from 64x64 to 2048x2048, not at 60x90"):
        open_dataset("scenes", (60, 90))


def test_limit_of_nothing(folder: Path) -> None:
    with pytest.raises(DataError, match="at least 1"):
        open_dataset(f"folder:{folder}", SIZE).head(0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn", ["as seen", "as stored"])
def test_labels_stay_with_turned_images(folder: Path, orientation: int, drawn: str) -> None:
    """Drawn as the image is seen, always; as it is stored, where their shape can tell."""
    truth = np.array([[0, 0, 0, 1], [0, 1, 1, 1]], np.uint8).repeat(3, 0).repeat(5, 1)
    seen = np.where(truth[:, :, None] == 1, np.uint8([200, 10, 10]), np.uint8(20)).astype(np.uint8)
    turned(folder / "images/a.png", orientation, seen)
    with Image.open(folder / "images/a.png") as stored:
        red = np.asarray(stored)[:, :, 0]
    write(folder / "labels/a.png", (red > 100).astype(np.uint8) if drawn == "as stored" else truth)
    sample = next(iter(open_dataset(f"folder:{folder}", SIZE)))
    np.testing.assert_array_equal(sample.image, seen)
    if drawn == "as seen" or orientation == 1 or orientation >= 5:
        np.testing.assert_array_equal(sample.labels, truth)
    else:  # half turns and mirrors: nothing tells, and docs/validation.md says what is taken
        assert (sample.labels != truth).any()


def test_every_format_and_what_is_left_out(folder: Path) -> None:
    (folder / "images/a.png").rename(folder / "images/a.PNG")
    write(folder / "images/c.tif", np.zeros((4, 6, 3), np.uint8))
    write(folder / "labels/c.png", np.zeros((4, 6), np.uint8))
    (folder / "images/notes.txt").write_text("x")
    data = open_dataset(f"folder:{folder}", SIZE)
    assert [sample.name for sample in data] == ["a", "b", "c"]
    assert data.notes == ("images/ also holds 1 file that is no image by suffix: notes.txt",)


@pytest.mark.parametrize(
    ("name", "words"),
    [("c.heic", "it is HEIC"), ("c.NEF", "c.NEF cannot be read as an image: it is a camera raw")],
)
def test_images_that_nothing_here_reads(
    folder: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edaformer.pictures._known_formats", lambda: ("PNG",))
    heic_head(folder / "images" / name)
    write(folder / "labels/c.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match=words):
        list(open_dataset(f"folder:{folder}", SIZE))
