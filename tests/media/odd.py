"""Forty odd inputs: each is written to a folder, and comes out right or is refused in words."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
TALL, WIDE = 24, 32
RIGHT = Path("right.png")


@dataclass(frozen=True)
class Odd:
    """A name, what writes it, and the frames that it must give or the words that refuse it."""

    name: str  # what the person types, in the folder
    write: Callable[[Path], Any]
    frames: tuple[Pixels, ...] = ()
    words: str = ""
    near: int = 0  # levels by which lossy formats may differ


def card() -> Pixels:
    """A picture whose four quarters tell every turn: red, green, blue, grey."""
    made = np.zeros((TALL, WIDE, 3), np.uint8)
    for index, colour in enumerate([(200, 10, 10), (10, 200, 10), (10, 10, 200), (90, 90, 90)]):
        y, x = index // 2 * TALL // 2, index % 2 * WIDE // 2
        made[y : y + TALL // 2, x : x + WIDE // 2] = colour
    return made


def grey() -> Pixels:
    return np.repeat(np.arange(TALL * WIDE).reshape(TALL, WIDE, 1) % 256, 3, axis=2).astype(
        np.uint8
    )


def turned(orientation: int) -> Callable[[Path], None]:
    """The card, stored so that EXIF's orientation makes it upright again."""
    stored = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]  # fmt: skip

    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(stored(card()))).save(path, exif=exif)

    return write


def save(pixels: Any, mode: str | None = None, **options: Any) -> Callable[[Path], None]:
    """Saved by Pillow in a mode."""

    def write(path: Path) -> None:
        picture = Image.fromarray(pixels)
        (picture.convert(mode) if mode else picture).save(path, **options)

    return write


def with_alpha(mode: str) -> Callable[[Path], None]:
    """The card, half of it transparent."""

    def write(path: Path) -> None:
        picture = Image.fromarray(card()).convert("RGBA")
        picture.putalpha(Image.fromarray(np.repeat(np.uint8([[0], [255]]), 16, axis=0)
                                         .repeat(WIDE, axis=1)[:TALL]))  # fmt: skip
        picture.convert(mode).save(path)

    return write


def animation(count: int, **options: Any) -> Callable[[Path], None]:
    """``count`` frames, each a level of grey."""

    def write(path: Path) -> None:
        frames = [Image.fromarray(level(index)) for index in range(count)]
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)

    return write


def level(index: int) -> Pixels:
    return np.full((TALL, WIDE, 3), 40 * index + 10, np.uint8)


def cut(path: Path, whole: Callable[[Path], Any], share: float = 0.5) -> None:
    """The first part of a file."""
    whole(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def noise(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (200, 300, 3)).astype(np.uint8)


def video(count: int, codec: str = "MJPG", rate: float = 10) -> Callable[[Path], None]:
    """``count`` frames, each a level of grey, of 48x64."""

    def write(path: Path) -> None:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (64, 48))
        assert writer.isOpened()
        for index in range(count):
            writer.write(np.full((48, 64, 3), (40 * index + 10) % 256, np.uint8))
        writer.release()

    return write


def damaged_video(path: Path) -> None:
    """Of 60 frames, all but the first dozen or so are zeros; the index still lists them."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for index in range(60):
        writer.write(np.random.default_rng(index).integers(0, 256, (48, 64, 3)).astype(np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    start, end = data.find(b"mdat"), data.find(b"moov")
    assert 0 < start < end
    middle = start + (end - start) // 5
    data[middle : end - 8] = bytes(end - 8 - middle)
    path.write_bytes(data)


def nothing(_: Path) -> None:
    """No file."""


def of_bytes(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def linked_to(target: str) -> Callable[[Path], Any]:
    return lambda path: path.symlink_to(target)


def in_folder(*files: tuple[str, Callable[[Path], Any]]) -> Callable[[Path], None]:
    """A folder with files."""

    def write(path: Path) -> None:
        path.mkdir()
        for name, write_one in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            write_one(path / name)

    return write


def looped(path: Path) -> None:
    """A folder that holds a link to itself, and a picture."""
    path.mkdir()
    (path / "self").symlink_to(path)
    save(card())(path / "card.png")


def linked_picture(path: Path) -> None:
    save(card())(path.with_name("real.png"))
    path.symlink_to("real.png")


def bracketed(path: Path) -> None:
    save(card())(path)


def large(path: Path) -> None:
    """8000 x 8000, which compresses well."""
    Image.new("RGB", (8000, 8000), (10, 200, 10)).save(path, compress_level=1)


def bomb(path: Path) -> None:
    """A few bytes that claim 60000 x 60000 pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0), b"IDAT" + bytes(9))
    parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
             for chunk in chunks]  # fmt: skip
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def float_tiff(path: Path) -> None:
    Image.fromarray(np.zeros((TALL, WIDE), np.float32)).save(path)


def tiff_of_ints(path: Path) -> None:
    Image.fromarray(np.full((TALL, WIDE), 70000, np.int32)).save(path)


DEEP = (np.arange(TALL * WIDE).reshape(TALL, WIDE) * 65535 // (TALL * WIDE - 1)).astype(np.uint16)
DEEP_AS_8 = np.repeat(np.rint(DEEP / 257).astype(np.uint8)[:, :, None], 3, axis=2)
CARD, GREY = (card(),), (grey(),)

ODD = (
    Odd("plain.png", save(card()), CARD),
    Odd("plain.jpg", save(card(), quality=95, subsampling=0), CARD, near=40),
    Odd("plain.bmp", save(card()), CARD),
    Odd("plain.webp", save(card(), lossless=True), CARD),
    Odd("plain.ppm", save(card()), CARD),
    Odd("UPPER.PNG", save(card()), CARD),
    Odd("no_suffix", save(card(), format="PNG"), CARD),
    Odd("lying.jpg", save(card(), format="PNG"), CARD),
    Odd("name with ünïcode 空 and spaces.png", save(card()), CARD),
    Odd("brackets[1]*.png", bracketed, CARD),
    Odd("line\nbreak.png", save(card()), CARD),
    Odd("-dash.png", save(card()), CARD),
    *(Odd(f"exif{turn}.png", turned(turn), CARD) for turn in range(2, 9)),
    Odd("grey.png", save(grey(), "L"), GREY),
    Odd("one_bit.png", save(np.repeat(np.eye(TALL, WIDE)[:, :, None] * 255, 3, 2).astype(np.uint8),
                            "1"),
        (np.repeat(np.eye(TALL, WIDE)[:, :, None] * 255, 3, 2).astype(np.uint8),)),
    Odd("grey_alpha.png", with_alpha("LA"),
        (np.repeat(np.asarray(Image.fromarray(card()).convert("L"))[:, :, None], 3, 2),)),
    Odd("alpha.png", with_alpha("RGBA"), CARD),
    Odd("palette.png", lambda path: Image.fromarray(card()).quantize(8).save(path), CARD, near=2),
    Odd("cmyk.jpg", save(card(), "CMYK", quality=95, subsampling=0), CARD, near=40),
    Odd("cmyk.tif", save(card(), "CMYK"), CARD),
    Odd("grey16.png", lambda path: cv2.imwrite(str(path), DEEP), (DEEP_AS_8,)),
    Odd("grey16.tif", lambda path: cv2.imwrite(str(path), DEEP), (DEEP_AS_8,)),
    Odd("colour16.png", lambda path: cv2.imwrite(str(path), np.repeat(DEEP[:, :, None], 3, 2)),
        (DEEP_AS_8,), near=1),
    Odd("one_pixel.png", save(card()[:1, :1]), (card()[:1, :1],)),
    Odd("thin.png", save(card()[:1]), (card()[:1],)),
    Odd("large.png", large, (np.broadcast_to(np.uint8([10, 200, 10]), (8000, 8000, 3)),)),
    Odd("moving.gif", animation(3, duration=40), tuple(map(level, range(3)))),
    Odd("moving.png", animation(3, duration=40), tuple(map(level, range(3)))),
    Odd("moving.webp", animation(3, duration=40, lossless=True), tuple(map(level, range(3)))),
    Odd("still.gif", save(grey()[:, :, 0]), GREY),
    Odd("pages.tif", animation(3), tuple(map(level, range(3)))),
    Odd("clip.avi", video(3), tuple(np.full((48, 64, 3), 40 * i + 10, np.uint8) for i in range(3)),
        near=3),
    Odd("linked.png", linked_picture, CARD),
    Odd("folder_with_loop", looped, CARD),
    Odd("mixed", in_folder(("notes.txt", of_bytes(b"x")), ("deep/er/a.png", save(card())),
                           (".hidden.png", save(card()))), CARD),
    Odd("empty.png", of_bytes(b""), words="it is no picture that Pillow knows"),
    Odd("text.png", of_bytes(b"hello, world\n" * 9), words="it is no picture that Pillow knows"),
    Odd("page.eps", of_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        words="it is no picture that Pillow knows"),
    Odd("half.jpg", lambda path: cut(path, save(noise())), words="it cannot be read"),
    Odd("half.png", lambda path: cut(path, save(noise())), words="it cannot be read"),
    Odd("half.gif", lambda path: cut(path, save(noise()[:, :, 0])), words="it cannot be read"),
    Odd("bomb.png", bomb, words="more than 179 million pixels; scale it down"),
    Odd("float.tif", float_tiff, words="32 bits and no known range; save it with 8 or 16 bits"),
    Odd("ints.tif", tiff_of_ints, words="32 bits and no known range"),
    Odd("folder.png", lambda path: path.mkdir(), words="holds no pictures or videos"),
    Odd("pipe.png", os.mkfifo, words="it is no regular file"),
    Odd("loop.png", linked_to("loop.png"), words="it cannot be read (Too many levels"),
    Odd("dangling.png", linked_to("gone.png"), words="it cannot be read (No such file"),
    Odd("missing.png", nothing, words="found nothing at"),
    Odd("no/such/folder", nothing, words="found nothing at"),
    Odd("nothing_*.png", nothing, words="no picture or video matches"),
    Odd("nul\0.png", nothing, words="found nothing at"),
    Odd("n" * 300 + ".png", nothing, words="found nothing at"),
    Odd("", nothing, words="found nothing at ''"),
    Odd("scenes:0", nothing, words="expected scenes:N with N from 1 on"),
    Odd("empty.mp4", of_bytes(b""), words="it is empty"),
    Odd("text.mp4", of_bytes(b"hello, world\n" * 99), words="FFmpeg cannot read it as a video"),
    Odd("pipe.mp4", os.mkfifo, words="it is no regular file"),
    Odd("half.mp4", lambda path: cut(path, video(30, "mp4v")), words="FFmpeg cannot read it"),
    Odd("damaged.mp4", damaged_video, words="it announces 60 frames and only"),
    Odd("99", nothing, words="OpenCV cannot open camera 99"),
    Odd("rtsp://127.0.0.1:9/none", nothing, words="OpenCV cannot open rtsp://127.0.0.1:9/none"),
)  # fmt: skip
