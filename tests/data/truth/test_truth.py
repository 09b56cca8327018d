"""What label files hold, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edaformer.data import open_dataset
from edaformer.errors import DataError
from tests.field import labels as field

NAMES = ["road", "sky", "tree"]
PALETTE = [(128, 64, 128), (128, 128, 128), (0, 128, 0)]
TRUTH = np.array([[2, 0, 1, 1], [0, 0, 2, 1]], np.uint8)
Writer = Callable[[Path, np.ndarray], None]


def folder(root: Path, *write: Writer, names: list[str] = NAMES, truth: np.ndarray = TRUTH) -> str:
    for part in ("images", "labels"):
        (root / part).mkdir()
    for number, one in enumerate(write):
        image = np.zeros((*truth.shape, 3), np.uint8)
        Image.fromarray(image).save(root / f"images/{number}.png")
        one(root / f"labels/{number}.png", truth)
    if names:
        (root / "classes.txt").write_text("\n".join(names))
    return f"folder:{root}"


def read(spec: str, labels: str | None = None) -> list[np.ndarray]:
    return [sample.labels for sample in open_dataset(spec, (64, 64), labels)]


def plain(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(path)


def palette_of(colours: list[tuple[int, int, int]], order: list[int]) -> Writer:
    """A palette picture whose index ``order[c]`` has the colour of class c."""

    def write(path: Path, values: np.ndarray) -> None:
        table = [colours[order.index(at)] for at in range(len(order))]
        field.packed_png(path, np.array(order, np.uint8)[values], 8, table)

    return write


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_grey_of_few_bits_holds_the_stored_value(bits: int, tmp_path: Path) -> None:
    spec = folder(tmp_path, lambda path, values: field.packed_png(path, values, bits))
    assert (read(spec)[0] == TRUTH).all()


def test_one_bit_and_sixteen(tmp_path: Path) -> None:
    two = np.minimum(TRUTH, 1)
    spec = folder(
        tmp_path,
        lambda path, values: field.packed_png(path, values, 1),
        lambda path, values: plain(path, values.astype(np.uint16)),
        truth=two,
    )
    assert all((labels == two).all() for labels in read(spec))


def test_an_optimised_grey_picture_keeps_its_values(tmp_path: Path) -> None:
    spec = folder(tmp_path, field.optimised_grey, plain)
    assert all((labels == TRUTH).all() for labels in read(spec))


def test_an_index_counts_where_all_palettes_are_one(tmp_path: Path) -> None:
    same = palette_of(PALETTE, [0, 1, 2])
    assert all((labels == TRUTH).all() for labels in read(folder(tmp_path, same, same)))


def test_palettes_of_their_own_are_refused_or_read_by_colour(tmp_path: Path) -> None:
    spec = folder(tmp_path, palette_of(PALETTE, [0, 1, 2]), palette_of(PALETTE, [2, 0, 1]))
    with pytest.raises(DataError, match="has a palette of its own"):
        read(spec)
    field.cvat_labelmap(tmp_path / "labelmap.txt", NAMES, PALETTE)
    assert all((labels == TRUTH).all() for labels in read(spec))


@pytest.mark.parametrize("write", [field.jpeg_named_png, field.lossy_webp])
def test_lossy_labels_are_refused_by_what_they_hold(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lossy compression changes labels"):
        read(folder(tmp_path, write))


@pytest.mark.parametrize(
    ("option", "store"),
    [
        ("minus-one", lambda t: t + 1),
        ("over-17", lambda t: t * 17),
        ("over-85", lambda t: t * 85),
    ],
)
def test_ways_of_storing(
    option: str, store: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    spec = folder(tmp_path, lambda path, values: plain(path, store(values).astype(np.uint8)))
    assert (read(spec, option)[0] == TRUTH).all()
    if option != "minus-one":
        with pytest.raises(DataError, match=f"--labels {option}"):
            read(spec)


def test_binary(tmp_path: Path) -> None:
    two = np.minimum(TRUTH, 1)

    def with_alpha(path: Path, values: np.ndarray) -> None:
        Image.fromarray(values * 255).convert("LA").save(path)

    def rgb(path: Path, values: np.ndarray) -> None:
        Image.fromarray(values * 255).convert("RGB").save(path)

    spec = folder(
        tmp_path, lambda path, values: field.packed_png(path, values, 1), with_alpha, rgb,
        lambda path, values: plain(path, values * 255), names=["ground", "crack"], truth=two,
    )  # fmt: skip
    assert all((labels == two).all() for labels in read(spec, "binary"))


def test_files_of_values_and_of_colours(tmp_path: Path) -> None:
    values = folder(tmp_path, lambda path, v: plain(path, np.array([7, 9, 30], np.uint8)[v]))
    (tmp_path / "values.txt").write_text("7 road\n9 sky\n30 tree\n0 void\n")
    assert (read(values, str(tmp_path / "values.txt"))[0] == TRUTH).all()
    (tmp_path / "c").mkdir()
    spec = folder(tmp_path / "c", lambda path, v: field.coloured(path, v, PALETTE), names=[])
    lines = [f"{name} {r} {g} {b}" for name, (r, g, b) in zip(NAMES, PALETTE, strict=True)]
    (tmp_path / "c/classes.txt").write_text("\n".join(lines))
    assert (read(spec)[0] == TRUTH).all()
    (tmp_path / "c/classes.txt").write_text("\n".join(lines[:2]))
    with pytest.raises(DataError, match=r"pixels of colours that are no class \(first: 0,128,0\)"):
        read(spec)


def test_cvat_s_and_voc_s_layout(tmp_path: Path) -> None:
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / part).mkdir(parents=True)
    with pytest.raises(DataError, match=r"lacks labelmap\.txt"):
        open_dataset(f"folder:{tmp_path}", (64, 64))
    for name in "abc":
        plain(tmp_path / f"JPEGImages/{name}.png", np.zeros((2, 4, 3), np.uint8))
    for name in "ab":
        field.coloured(tmp_path / f"SegmentationClass/{name}.png", TRUTH, PALETTE)
    field.cvat_labelmap(tmp_path / "labelmap.txt", NAMES, PALETTE)
    data = open_dataset(f"folder:{tmp_path}", (64, 64))
    assert (len(data), data.classes) == (2, tuple(NAMES))
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("b\n")
    data = open_dataset(f"folder:{tmp_path}", (64, 64))
    assert [sample.name for sample in data] == ["b"]
    assert data.notes == ("1 images, as ImageSets/Segmentation/val.txt lists them",)


def test_all_that_is_missing_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks images/, labels/, classes\.txt"):
        open_dataset(f"folder:{tmp_path}", (64, 64))


@pytest.mark.parametrize(("encoding", "words"), [("utf-16", "UTF-16"), ("cp1252", "cp1252")])
def test_other_encodings_are_named(encoding: str, words: str, tmp_path: Path) -> None:
    spec = folder(tmp_path, plain)
    (tmp_path / "classes.txt").write_bytes("route\nciel\nforêt".encode(encoding))
    with pytest.raises(DataError, match=words):
        read(spec)


def test_reduced_labels_are_said(tmp_path: Path) -> None:
    spec = folder(tmp_path, lambda path, values: plain(path, values + 1))
    data = open_dataset(spec, (64, 64), reduced=True)
    assert (data.load(0).labels == TRUTH).all()
    assert data.labels == "minus-one"
    assert "do_reduce_labels" in data.notes[-1]
