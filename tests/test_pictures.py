"""The one reader of pictures: by hand-made files, and the same through every command's door."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edaformer.data.datasets import read_image
from edaformer.errors import DataError, FrameError
from edaformer.media.pictures import PictureFile
from edaformer.pictures import decode_picture, read_picture, read_pictures, turn_upright
from tests.field import pictures as field
from tests.field.pictures import card


def close(one: np.ndarray, other: np.ndarray) -> bool:
    """As far as JPEG goes, in the middle of each quarter."""
    if one.shape != other.shape:
        return False
    rows, columns = (slice(side // 4, None, side // 2) for side in one.shape[:2])
    return bool(np.abs(one[rows, columns].astype(int) - other[rows, columns]).max() < 9)


@pytest.mark.parametrize(("write", "turned"), field.DAMAGED_EXIF)
def test_damage_in_exif_costs_nothing(
    tmp_path: Path, write: Callable[[Path], None], turned: bool
) -> None:
    write(tmp_path / "a.jpg")
    made = read_picture(tmp_path / "a.jpg")
    assert made.orientation == (6 if turned else 1)
    assert close(made.pixels, np.rot90(card(), -1) if turned else card())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_orientations(tmp_path: Path, orientation: int, suffix: str) -> None:
    field.turned(tmp_path / f"a{suffix}", orientation, card())
    made = read_picture(tmp_path / f"a{suffix}")
    assert made.orientation == orientation
    assert close(made.pixels, card())


@pytest.mark.parametrize(("package", "suffix"), [("pillow_heif", "heic"), ("pillow_jxl", "jxl")])
@pytest.mark.parametrize("orientation", [1, 6])
def test_plugins_are_used_where_they_are(
    tmp_path: Path, package: str, suffix: str, orientation: int
) -> None:
    pytest.importorskip(package)
    list(read_pictures(png(tmp_path)))  # registers them
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(np.rot90(card()) if orientation == 6 else card())
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, quality=95, exif=exif.tobytes())
    # JPEG XL turns by its own header, which this one does not set
    assert close(read_picture(path).pixels, stored if suffix == "jxl" else card())


def png(folder: Path) -> Path:
    Image.fromarray(card()).save(folder / "plain.png")
    return folder / "plain.png"


def test_jfif_is_a_jpeg(tmp_path: Path) -> None:
    Image.fromarray(card()).save(tmp_path / "a.jfif", quality=95, subsampling=0)
    assert close(read_picture(tmp_path / "a.jfif").pixels, card())


@pytest.mark.parametrize("bits", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_everywhere_alike(tmp_path: Path, bits: str) -> None:
    values = np.linspace(0, 65535, 24 * 32).round().astype(np.uint16).reshape(24, 32)
    path = tmp_path / f"deep.{bits.lower()}"
    if bits == "PPM":  # P5 with a maximum of 65535: most significant byte first
        path.write_bytes(b"P5 32 24 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path, bits)
    expected = np.rint(values / 257).astype(np.uint8)[:, :, None].repeat(3, 2)
    np.testing.assert_array_equal(read_image(path).pixels, expected)
    (frame,) = PictureFile(path, "x").frames()
    np.testing.assert_array_equal(frame.pixels, expected)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.png", field.postscript, "no picture that Pillow knows"),
        ("a.jpg", field.heic_head, "it is HEIC, which needs another package; run: pip install"),
        ("a.avif", field.damaged_avif, "it cannot be read"),
        ("a.NEF", lambda path: Image.fromarray(card()).save(path, "TIFF"), "it is a camera raw"),
        ("a.tif", lambda path: Image.fromarray(np.ones((9, 9), np.int32)).save(path), "32 bits"),
        ("a.jxl", lambda path: path.write_bytes(b"\xff\x0a" + bytes(9)), "JPEG XL|cannot be read"),
    ],
)  # fmt: skip
def test_what_is_refused_in_words(
    tmp_path: Path, name: str, write: Callable[[Path], None], words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if "HEIC" in words:
        known = tuple(one for one in Image.OPEN if one not in {"HEIF", "JXL"})
        monkeypatch.setattr("edaformer.pictures._known_formats", lambda: known)
    monkeypatch.setattr(subprocess, "Popen", None)  # nothing is started
    write(tmp_path / name)
    with pytest.raises(FrameError, match=words):
        read_picture(tmp_path / name)
    with pytest.raises(DataError, match=words):
        read_image(tmp_path / name)


def test_large_pictures_do_not_warn(tmp_path: Path) -> None:
    """Nor in threads, which share Python's list of filters: it is as it was."""
    field.of_100_million(tmp_path / "large.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda p: read_picture(p).pixels.max(), [png(tmp_path)] * 40))
    assert read_picture(tmp_path / "large.png").pixels[0, 0, 0] == 7
    assert list(warnings.filters) == before


def test_turning_is_its_own_definition() -> None:
    """Of labels as of pictures."""
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for orientation in range(1, 9):
        colours = turn_upright(labels[:, :, None].repeat(3, 2), orientation)
        np.testing.assert_array_equal(colours[:, :, 0], turn_upright(labels, orientation))


def test_a_broken_plugin_is_none(tmp_path: Path) -> None:
    (tmp_path / "pillow_heif.py").write_text("raise OSError('libheif.so.1: not found')\n")
    Image.fromarray(card()).save(tmp_path / "a.png")
    code = (
        "import sys; from pathlib import Path; from edaformer.pictures import read_picture\n"
        "print(read_picture(Path(sys.argv[1])).pixels.shape)"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert ran.stdout == "(24, 32, 3)\n"


def test_bytes_as_a_client_sends_them(tmp_path: Path) -> None:
    """The same pixels as of the file, turned by EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.fromarray(card()).save(path, exif=exif)
    decoded = decode_picture(path.read_bytes())
    assert decoded.orientation == 6
    np.testing.assert_array_equal(decoded.pixels, read_picture(path).pixels)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither JPEG nor PNG"),
        (b"GIF89a" + bytes(40), "neither JPEG nor PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "neither JPEG nor PNG|cannot be read"),
    ],
)
def test_bytes_that_are_no_picture(data: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        decode_picture(data)


def test_a_bomb_is_refused_by_its_header() -> None:
    """60000x60000 pixels in a few bytes."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(FrameError, match="million pixels; scale it down"):
        decode_picture(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 99) + b"IDAT" + bytes(99))
