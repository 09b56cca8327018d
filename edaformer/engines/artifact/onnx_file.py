"""Read an ONNX file's metadata without the onnx package, which no device needs to have.

Only the top level of the protobuf message is scanned (onnx.proto3: ModelProto, field 14,
metadata_props, of StringStringEntryProto); weights are skipped over, not read.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from edaformer.errors import InputError, ManifestError
from edaformer.manifest import ONNX_KEY, Manifest, parse_manifest

_METADATA_PROPS = 14
_EXTERNAL = b"\n\x08location"  # the key that every TensorProto.external_data has to have
_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}  # wire type: bytes
_MAX_ENTRY = 1 << 22  # bytes of one metadata entry


def read_onnx_manifest(path: Path) -> Manifest:
    """The manifest of an ONNX file that this tool exported.

    Raises:
        InputError: if it is no ONNX file, or one whose weights lie elsewhere.
        ManifestError: if it holds no manifest, or a damaged one.
    """
    if not path.is_file():
        raise InputError(f"expected an ONNX file at {path}, found nothing there; check the path")
    text = read_metadata(path).get(ONNX_KEY)
    if text is None:
        raise ManifestError(
            f"{path} holds no edaformer-deploy manifest, so its ISR and input are unknown; "
            "export it with edaformer-export"
        )
    if _EXTERNAL in path.read_bytes():
        raise InputError(
            f"{path} keeps weights in other files, which edaformer-export never does and which "
            "could lead anywhere; export it again"
        )
    return parse_manifest(text, str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata_props.

    Raises:
        InputError: if the file is not a well-formed ONNX model.
    """
    metadata: dict[str, str] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            while file.tell() < size:
                field, wire = _tag(file)
                if field == _METADATA_PROPS and wire == _LENGTH_DELIMITED:
                    key, value = _entry(_read(file, _limited(_varint(file))))
                    metadata[key] = value
                else:
                    _skip(file, wire, size)
        except (EOFError, ValueError, OverflowError) as error:
            raise InputError(
                f"{path} is not an ONNX model, or it is damaged; export it again"
            ) from error
    return metadata


def _entry(data: bytes) -> tuple[str, str]:
    """A StringStringEntryProto: key (1) and value (2)."""
    file, fields = io.BytesIO(data), {1: "", 2: ""}
    while file.tell() < len(data):
        field, wire = _tag(file)
        if wire != _LENGTH_DELIMITED or field not in fields:
            raise ValueError("not a string entry")
        fields[field] = _read(file, _varint(file)).decode()
    return fields[1], fields[2]


def _tag(file: BinaryIO) -> tuple[int, int]:
    tag = _varint(file)
    return tag >> 3, tag & 7


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = _read(file, 1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("a varint longer than 64 bits")


def _skip(file: BinaryIO, wire: int, size: int) -> None:
    if wire == 0:
        _varint(file)
        return
    if wire != _LENGTH_DELIMITED and wire not in _FIXED:
        raise ValueError(f"unknown wire type {wire}")
    length = _varint(file) if wire == _LENGTH_DELIMITED else _FIXED[wire]
    if file.tell() + length > size:
        raise EOFError
    file.seek(length, io.SEEK_CUR)


def _limited(length: int) -> int:
    if length > _MAX_ENTRY:
        raise ValueError("a metadata entry of more than 4 MiB")
    return length


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data
