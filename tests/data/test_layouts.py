"""Tiny trees in each official layout, and the ways of getting one wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edaformer.data import open_dataset
from edaformer.data.ahead import read_ahead
from edaformer.data.classes import class_set
from edaformer.errors import DataError
from tests.conftest import _test_data

SIZE = (64, 96)
COUNTS = {"ade20k": 150, "cityscapes": 19, "cocostuff164k": 171}


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)


def picture(seed: int) -> np.ndarray:
    return np.full((4, 6, 3), seed, np.uint8)


def make(kind: str, root: Path, stored: np.ndarray | None = None, tail: str | None = None) -> Path:
    """Two images whose labels are ``stored`` (4, 6)."""
    stored = np.ones((4, 6), np.uint8) if stored is None else stored
    for index, stem in enumerate(("b", "a")):
        if kind == "cityscapes":
            tail = tail or "_gtFine_labelTrainIds.png"
            write(root / f"leftImg8bit/val/{stem}town/{stem}_0_leftImg8bit.png", picture(index))
            write(root / f"gtFine/val/{stem}town/{stem}_0{tail}", stored)
            continue
        split = "validation" if kind == "ade20k" else "val2017"
        tail = tail or (".png" if kind == "ade20k" else "_labelTrainIds.png")
        write(root / f"images/{split}/{stem}.jpg", picture(index))
        write(root / f"annotations/{split}/{stem}{tail}", stored)
    return root


def stored_values(*values: int) -> np.ndarray:
    labels = np.full((4, 6), values[0], np.uint8)
    labels.ravel()[: len(values)] = values
    return labels


@pytest.mark.parametrize(
    ("kind", "tail", "stored", "classes"),
    [
        ("ade20k", None, (0, 1, 150, 255), (255, 0, 149, 255)),  # 0 is void, the rest one less
        ("cityscapes", None, (0, 18, 255), (0, 18, 255)),
        # road, train, bicycle; unlabelled, parking and the licence plate are void
        ("cityscapes", "_gtFine_labelIds.png", (7, 31, 33, 0, 9, 255), (0, 16, 18, 255, 255, 255)),
        ("cocostuff164k", None, (0, 170, 255), (0, 170, 255)),
        # person, fire hydrant, stop sign (one id is unused before it), banner, wood; void
        ("cocostuff164k", ".png", (0, 10, 12, 91, 181, 255), (0, 10, 11, 80, 170, 255)),
    ],
)
def test_pairs_and_labels(
    kind: str, tail: str | None, stored: tuple[int, ...], classes: tuple[int, ...], tmp_path: Path
) -> None:
    data = open_dataset(f"{kind}:{make(kind, tmp_path, stored_values(*stored), tail)}", SIZE)
    assert (len(data), len(data.classes), data.ignore_label) == (2, COUNTS[kind], 255)
    assert len(data.palette or ()) == COUNTS[kind]
    first, second = data
    assert [first.name[0], second.name[0]] == ["a", "b"]
    assert (int(first.image.max()), int(second.image.max())) == (1, 0)
    assert tuple(first.labels.ravel()[: len(classes)].tolist()) == classes
    assert any("of the" in note for note in data.notes)  # two images are not the whole split


def test_the_release_s_protocol_is_the_data_set_s(tmp_path: Path) -> None:
    protocols = {}
    for kind in COUNTS:
        protocols[kind] = open_dataset(f"{kind}:{make(kind, tmp_path / kind)}", SIZE).protocol
    assert protocols == {
        "ade20k": "ade20k", "cityscapes": "cityscapes", "cocostuff164k": "ade20k"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "file"),
    [("ade20k", "ade20k"), ("cityscapes", "cityscapes"), ("cocostuff164k", "coco_stuff164k")],
)
def test_names_and_colours_are_the_published_ones(kind: str, file: str) -> None:
    published = json.loads(_test_data("classes", f"{file}.json").read_text())
    known = class_set(kind)
    assert list(known.classes) == published["classes"]
    assert [list(colour) for colour in known.palette] == published["palette"]


Harm = Callable[[Path], object]


def move(source: str, target: str) -> Harm:
    return lambda root: shutil.move(root / source, root / target)


def one_deeper(root: Path) -> None:
    (root / "inner").mkdir()
    for name in ("images", "annotations"):
        shutil.move(root / name, root / "inner")


def emptied(root: Path) -> None:
    for name in ("images", "annotations"):
        shutil.rmtree(root / name)


def packed(root: Path) -> None:
    emptied(root)
    (root / "ADEChallengeData2016.zip").write_bytes(b"PK")


def other(root: Path) -> None:
    emptied(root)
    (root / "JPEGImages").mkdir()


def only_training(root: Path) -> None:
    for name in ("images", "annotations"):
        shutil.move(root / name / "validation", root / name / "training")


def wrong_suffix(root: Path) -> None:
    for file in (root / "images/validation").iterdir():
        file.rename(file.with_suffix(".tif"))


def emptied_labels(root: Path) -> None:
    for file in (root / "annotations/validation").iterdir():
        file.unlink()


def cut(name: str) -> Harm:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:45])


def twice(root: Path) -> None:
    shutil.copy(root / "images/validation/a.jpg", root / "images/validation/a.JPG")


ADE_IMAGE, ADE_LABEL = "images/validation/a.jpg", "annotations/validation/a.png"
WRONG_ADE20K: list[tuple[str, Harm, str]] = [
    ("no such folder", move(".", "../gone"), "found nothing there; check --data"),
    ("empty", emptied, "it is empty: nothing was unpacked there yet"),
    ("packed", packed, r"ADEChallengeData2016.zip is still packed; unpack it there"),
    ("another data set", other, "it holds JPEGImages: another data set"),
    ("one folder too high", one_deeper, "one folder further down; name .*inner"),
    ("no annotations", lambda r: shutil.rmtree(r / "annotations"), "half extracted"),
    ("no images", lambda r: shutil.rmtree(r / "images"), "images/validation is not there"),
    ("only the training split", only_training, "unpack the validation split"),
    ("images of another kind", wrong_suffix, r"holds no images \(\*.jpg\): only a.tif, b.tif"),
    ("no label files", emptied_labels, r"holds no labels \(\*.png\): is empty"),
    ("a label missing", lambda r: (r / ADE_LABEL).unlink(), "1 of 2 images have no labels"),
    ("an image missing", lambda r: (r / ADE_IMAGE).unlink(), "1 of 2 label files have no image"),
    ("two images of one name", twice, "share .*a.png; take one of them out"),
    ("an image cut short", cut(ADE_IMAGE), "cannot be read as an image"),
    ("a label cut short", cut(ADE_LABEL), "cannot be read as a label image"),
    ("text for an image", lambda r: (r / ADE_IMAGE).write_text("x"), "cannot be read as an image"),
    ("a colour label", lambda r: write(r / ADE_LABEL, picture(1)), "has mode RGB"),
    ("sizes differ", lambda r: write(r / ADE_LABEL, np.ones((4, 5))), "a label for every pixel"),
    ("no class", lambda r: write(r / ADE_LABEL, np.full((4, 6), 151)), "expected 0..150"),
    ("a folder for a label", lambda r: [(r / ADE_LABEL).unlink(), (r / ADE_LABEL).mkdir()],
     "1 of 2 images have no labels"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("harm", "words"), [case[1:] for case in WRONG_ADE20K], ids=[case[0] for case in WRONG_ADE20K]
)
def test_twenty_ways_of_being_wrong(harm: Harm, words: str, tmp_path: Path) -> None:
    root = make("ade20k", tmp_path / "data")
    harm(root)
    with pytest.raises(DataError, match=words):
        list(open_dataset(f"ade20k:{root}", SIZE))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"images/validation/\*.jpg .*x.zip is a file; unpack it"):
        open_dataset(f"ade20k:{tmp_path / 'x.zip'}", SIZE)


def test_cityscapes_without_ids_and_with_a_wrong_id(tmp_path: Path) -> None:
    root = make("cityscapes", tmp_path / "colours", tail="_gtFine_color.png")
    with pytest.raises(DataError, match=r"holds no labels .*only a_0_gtFine_color.png"):
        open_dataset(f"cityscapes:{root}", SIZE)
    root = make("cityscapes", tmp_path / "ids", np.full((4, 6), 34), "_gtFine_labelIds.png")
    with pytest.raises(DataError, match=r"holds label 34; expected 0\.\.33 or 255"):
        list(open_dataset(f"cityscapes:{root}", SIZE))
    root = make("cityscapes", tmp_path / "half")
    shutil.rmtree(root / "gtFine/val/btown")
    with pytest.raises(DataError, match=r"1 of 2 images have no labels \(first: .*btown"):
        open_dataset(f"cityscapes:{root}", SIZE)


def test_what_is_mapped_is_said(tmp_path: Path) -> None:
    root = make("cityscapes", tmp_path, tail="_gtFine_labelIds.png")
    notes = open_dataset(f"cityscapes:{root}", SIZE).notes
    assert notes == (
        "labelIds mapped to train ids",
        "2 of the 500 validation images of Cityscapes",
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_reading_ahead_keeps_the_order_and_stays_close(workers: int) -> None:
    data = open_dataset("scenes:9", SIZE)
    read: list[str] = []

    def load(index: int) -> str:
        name = data.load(index).name
        read.append(name)
        return name

    taken = []
    for name in read_ahead(load, len(data), workers=workers):
        taken.append(name)
        assert len(read) - len(taken) <= 3 * workers + workers
    assert taken == [f"scene {index}" for index in range(9)]


def test_reading_ahead_raises_at_its_turn(tmp_path: Path) -> None:
    root = make("ade20k", tmp_path)
    cut("images/validation/b.jpg")(root)
    data = open_dataset(f"ade20k:{root}", SIZE)
    samples = read_ahead(data.load, len(data), workers=2)
    assert next(samples).name == "a"
    with pytest.raises(DataError, match=r"b.jpg cannot be read"):
        next(samples)
