"""Images with what is known of them in one file that ends with its own hash.

A ZIP archive: lossless WebP for the pixels, deflated planes of bytes, ``head.json`` last. Its
comment is the SHA-256 of every byte before, so that a copy that is cut short or changed anywhere is
refused before its first image. Writing and reading hold one image at a time.
"""

from __future__ import annotations

import hashlib
import io
import json
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

from edaformer.border import border
from edaformer.closing import Closing
from edaformer.errors import DataError
from edaformer.files import open_whole
from edaformer.json_text import parse_json

Pixels = NDArray[np.uint8]  # RGB (H, W, 3)
Plane = NDArray[np.uint8]  # (H, W)

_FORMAT = 1
_SEAL = b"sha256:"  # then 64 hex digits end the file
_SEALED = len(_SEAL) + 64
_HEAD = "head.json"
_HEAD_MAX = 1 << 26  # bytes
_SIDE_MAX = 1 << 14  # pixels: WebP's limit, less one
_CHUNK = 1 << 20
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same content makes the same bytes


class ImageRecord(BaseModel):
    """What the head says of an image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    height: int = Field(ge=1, le=_SIDE_MAX)
    width: int = Field(ge=1, le=_SIDE_MAX)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # of the pixels, as image_sha256 has it
    pixels: bool  # whether they are here
    planes: tuple[str, ...]


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    kind: str
    images: tuple[ImageRecord, ...]
    about: dict[str, Any]


@dataclass
class ArchiveWriter:
    """An archive being written; made with ``write_archive``."""

    kind: str
    archive: zipfile.ZipFile
    about: Mapping[str, Any] = field(default_factory=dict)  # may be set until the end
    images: list[ImageRecord] = field(default_factory=list)

    def add(
        self, name: str, pixels: Pixels, planes: Mapping[str, Plane], *, keep_pixels: bool = True
    ) -> None:
        """One image; ``planes`` are uint8 (H, W) each.

        Raises:
            DataError: if it is larger than an archive can hold.
        """
        height, width = pixels.shape[:2]
        if max(height, width) >= _SIDE_MAX:
            raise DataError(
                f"{name} is {height}x{width}; expected sides of less than {_SIDE_MAX} pixels. "
                "Take it out of the data"
            )
        number = len(self.images)
        record = ImageRecord(
            name=name, height=height, width=width, sha256=image_sha256(pixels),
            pixels=keep_pixels, planes=tuple(planes),
        )  # fmt: skip
        if keep_pixels:
            self._write(_member(number, "webp"), _webp(pixels), zipfile.ZIP_STORED)
        for plane_name, plane in planes.items():
            data = np.ascontiguousarray(plane).tobytes()
            self._write(_member(number, plane_name), data, zipfile.ZIP_DEFLATED)
        self.images.append(record)

    def finish(self) -> None:
        """The head."""
        head = _Head(
            format=_FORMAT, kind=self.kind, images=tuple(self.images), about=dict(self.about)
        )
        # json's own escapes carry names of files that are no UTF-8
        self._write(_HEAD, json.dumps(head.model_dump()).encode(), zipfile.ZIP_DEFLATED)

    def _write(self, name: str, data: bytes, compression: int) -> None:
        member = zipfile.ZipInfo(name, _LONG_AGO)
        member.compress_type = compression
        self.archive.writestr(member, data)


@dataclass
class Archive(Closing):
    """An archive that was opened; its bytes are those that were written."""

    path: Path
    images: tuple[ImageRecord, ...]
    about: Mapping[str, Any]
    archive: zipfile.ZipFile

    @classmethod
    def open(cls, path: Path, kind: str) -> Self:
        """Open an archive of a ``kind``, all of its bytes checked.

        Raises:
            DataError: if it is none, damaged, or of another kind or format.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); check the name") from error
        try:
            with border(
                lambda said: DataError(
                    f"{path} is no {kind} file of this tool ({said}); name one that it wrote"
                )
            ):
                _check_seal(file, path, kind)
                archive = zipfile.ZipFile(file)
                head = _read_head(archive, path, kind)
        except BaseException:
            file.close()
            raise
        weakref.finalize(archive, file.close)  # a data set is never closed
        return cls(path, head.images, head.about, archive)

    @property
    def has_pixels(self) -> bool:
        """Whether those of all images are here."""
        return all(image.pixels for image in self.images)

    def pixels(self, number: int) -> Pixels:
        """The pixels of an image, uint8 RGB (H, W, 3).

        Raises:
            DataError: if what lies there is not that image.
        """
        record = self.images[number]
        data = self._read(number, "webp", limit=4 * record.height * record.width + 4096)
        with (
            border(lambda _: self._damaged(number, "webp")),
            Image.open(io.BytesIO(data), formats=["WEBP"]) as picture,
        ):
            fits = picture.size == (record.width, record.height)
            made = np.asarray(picture.convert("RGB")) if fits else None
        if made is None or image_sha256(made) != record.sha256:
            raise self._damaged(number, "webp")
        return made

    def plane(self, number: int, name: str) -> Plane:
        """A plane of an image, uint8 (H, W).

        Raises:
            DataError: if there is no such plane of the image's size.
        """
        record = self.images[number]
        data = self._read(number, name, limit=record.height * record.width)
        if len(data) != record.height * record.width:
            raise self._damaged(number, name)
        return np.frombuffer(data, np.uint8).reshape(record.height, record.width)

    def head(self, count: int) -> Self:
        """The first ``count`` images, of the same file."""
        return replace(self, images=self.images[:count])

    def close(self) -> None:
        """Close the file."""
        file = self.archive.fp
        self.archive.close()  # not the file, which it was given
        if file is not None:
            file.close()

    def _read(self, number: int, name: str, *, limit: int) -> bytes:
        with border(lambda _: self._damaged(number, name)):
            member = self.archive.getinfo(_member(number, name))
            if member.file_size > limit:
                raise ValueError("too large")
            with self.archive.open(member) as file:
                return file.read(limit + 1)

    def _damaged(self, number: int, name: str) -> DataError:
        return DataError(
            f"{self.path} does not hold the {name} of {self.images[number].name} as its head says; "
            "make it again"
        )


@contextmanager
def write_archive(path: Path, kind: str) -> Iterator[ArchiveWriter]:
    """Write an archive to ``path``, whole or not at all.

    Raises:
        InputError: if ``path`` cannot be written.
    """
    with open_whole(path) as file, sealed(file, kind) as writer:
        yield writer


@contextmanager
def sealed(file: BinaryIO, kind: str) -> Iterator[ArchiveWriter]:
    """Write an archive into an empty ``file``, which can be read too; it is not closed."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = _SEAL + b"0" * 64
        writer = ArchiveWriter(kind, archive)
        yield writer
        writer.finish()
    size = file.seek(0, io.SEEK_END)
    digest = _digest(file, size - 64)
    file.seek(size - 64)
    file.write(digest.encode())


def image_sha256(image: Pixels) -> str:
    """SHA-256 of the decoded pixels (H, W, 3) and their shape."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _check_seal(file: BinaryIO, path: Path, kind: str) -> None:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - _SEALED, 0))
    seal = file.read()
    if not seal.startswith(_SEAL) or size < _SEALED:
        raise DataError(
            f"{path} is no {kind} file of this tool, or is cut short: it does not end with its "
            "hash; copy it again, or make it again"
        )
    if _digest(file, size - 64).encode() != seal[len(_SEAL) :]:
        raise DataError(
            f"{path} is damaged: its content is not what its hash says; copy it again, or make it "
            "again"
        )


def _digest(file: BinaryIO, size: int) -> str:
    """Of the first ``size`` bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()


def _read_head(archive: zipfile.ZipFile, path: Path, kind: str) -> _Head:
    member = archive.getinfo(_HEAD)
    if member.file_size > _HEAD_MAX:
        raise ValueError("its head is too large")
    content = parse_json(archive.read(member), _HEAD_MAX)
    found = content.get("format") if isinstance(content, dict) else None
    if found != _FORMAT:
        raise DataError(
            f"{path} is of format {found}, this version reads {_FORMAT}; use the edaformer-deploy "
            "version that wrote it"
        )
    try:
        head = _Head.model_validate(content)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error
    if head.kind != kind:
        raise DataError(f"{path} is a {head.kind} file; expected a {kind} file")
    if not head.images:
        raise ValueError("it holds no images")
    return head


def _member(number: int, name: str) -> str:
    return f"{number:06d}/{name}"


def _webp(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, method=2, quality=60)
    return file.getvalue()
