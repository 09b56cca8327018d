"""The sealed archive: what goes in comes out, whole or not at all, and nothing else is believed."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edaformer.data.archive import Archive, image_sha256, write_archive
from edaformer.errors import DataError
from tests.conftest import ROOT

DRAW = np.random.default_rng(7)
PICTURES = [DRAW.integers(0, 256, size, dtype=np.uint8) for size in ((5, 7, 3), (1, 1, 3))]


def write(path: Path, *, kind: str = "reference", keep_pixels: bool = True) -> Path:
    with write_archive(path, kind) as archive:
        for number, picture in enumerate(PICTURES):
            planes = {"truth": picture[..., 0]}
            archive.add(f"image {number}", picture, planes, keep_pixels=keep_pixels)
        archive.about = {"of": "a test"}
    return path


def sealed(content: bytes) -> bytes:
    """The bytes with a seal that fits: what somebody makes who means to deceive."""
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    with Archive.open(write(tmp_path / "a.ref"), "reference") as archive:
        assert archive.about == {"of": "a test"}
        assert [image.name for image in archive.images] == ["image 0", "image 1"]
        for number, picture in enumerate(PICTURES):
            np.testing.assert_array_equal(archive.pixels(number), picture)
            np.testing.assert_array_equal(archive.plane(number, "truth"), picture[..., 0])
        with pytest.raises(DataError, match=r"does not hold the other of image 1 as its head says"):
            archive.plane(1, "other")
        assert len(archive.head(1).images) == 1


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a").read_bytes() == write(tmp_path / "b").read_bytes()


def test_without_pixels_their_hash_remains(tmp_path: Path) -> None:
    with Archive.open(write(tmp_path / "a", keep_pixels=False), "reference") as archive:
        assert [image.sha256 for image in archive.images] == [image_sha256(p) for p in PICTURES]
        with pytest.raises(DataError, match="does not hold the webp of image 0"):
            archive.pixels(0)


def test_every_changed_byte_is_seen(tmp_path: Path) -> None:
    whole = write(tmp_path / "a").read_bytes()
    path = tmp_path / "b"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(DataError, match=r"is damaged|is cut short"):
            Archive.open(path, "reference")


def test_every_cut_is_seen(tmp_path: Path) -> None:
    whole = write(tmp_path / "a").read_bytes()
    path = tmp_path / "b"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="is cut short"):
            Archive.open(path, "reference")


def test_what_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        Archive.open(tmp_path / "none", "reference")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory"):
        Archive.open(tmp_path, "reference")
    with pytest.raises(DataError, match="is a witness file; expected a reference file"):
        Archive.open(write(tmp_path / "w", kind="witness"), "reference")
    path = tmp_path / "sealed"
    path.write_bytes(sealed(b"PK" * 50 + b"sha256:" + b"0" * 64))
    with pytest.raises(DataError, match="is no reference file of this tool"):
        Archive.open(path, "reference")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "is of format 99, this version reads 1"),
        ({"images": []}, "it holds no images"),
        ({"images": 5}, "is no reference file of this tool"),
        ({"more": 5}, "is no reference file of this tool"),
    ],
)
def test_a_head_that_lies_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        Archive.open(forged(tmp_path, head=change), "reference")


@pytest.mark.parametrize(
    "change",
    [
        {"height": 4}, {"width": 16000, "height": 16000}, {"sha256": "0" * 64},
    ],
)  # fmt: skip
def test_an_image_other_than_the_head_says_is_refused(
    change: dict[str, object], tmp_path: Path
) -> None:
    with Archive.open(forged(tmp_path, image=change), "reference") as archive:
        with pytest.raises(DataError, match="does not hold the webp of image 0"):
            archive.pixels(0)
        if "sha256" not in change:
            with pytest.raises(DataError, match="does not hold the truth of image 0"):
                archive.plane(0, "truth")


def test_a_plane_that_inflates_without_end_is_not_inflated(tmp_path: Path) -> None:
    path = forged(tmp_path, planes={"000000/truth": b"\0" * (1 << 26)})
    tracemalloc.start()
    archive = Archive.open(path, "reference")
    with archive, pytest.raises(DataError, match="does not hold the truth"):
        archive.plane(0, "truth")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def forged(
    folder: Path,
    *,
    head: dict[str, object] | None = None,
    image: dict[str, object] | None = None,
    planes: dict[str, bytes] | None = None,
) -> Path:
    """An archive with other content and a seal that fits."""
    with zipfile.ZipFile(write(folder / "honest")) as honest:
        members = {name: honest.read(name) for name in honest.namelist()}
    content = json.loads(members["head.json"]) | (head or {})
    if image is not None:
        content["images"][0] |= image
    members |= {"head.json": json.dumps(content).encode(), **(planes or {})}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.comment = b"sha256:" + b"0" * 64
        for name, data in members.items():
            made.writestr(name, data)
    path = folder / "forged"
    path.write_bytes(sealed(file.getvalue()))
    return path


def test_a_kill_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, numpy as np; from pathlib import Path;"
        "from edaformer.data.archive import write_archive\n"
        f"with write_archive(Path({str(tmp_path / 'a')!r}), 'reference') as archive:\n"
        "    archive.add('one', np.zeros((9, 9, 3), np.uint8), {})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_known_by_its_pixels() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    other = image.copy()
    other[3, 5, 2] = 1
    assert len({image_sha256(i) for i in (image, other, image.reshape(6, 4, 3))}) == 3
    assert image_sha256(image[:, ::-1]) == image_sha256(image)  # mirrored zeros are zeros
