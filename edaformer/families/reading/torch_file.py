"""A file of ``torch.save``: the archive that it has written since 1.6, and what it wrote before.

The archive is a plain ZIP: ``NAME/data.pkl`` describes, ``NAME/data/KEY`` holds each storage, and
every record has a checksum. Before, a file was five pickles and then the storages, one by one:
eight bytes of count, the values (torch/serialization.py).
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from edaformer.errors import CheckpointError
from edaformer.families.reading.inert import Storage, Stored
from edaformer.families.reading.pickles import unpickle

if TYPE_CHECKING:
    from torch import Tensor

_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py
_PROTOCOL = 1001


class Records(Protocol):
    """Where the storages are."""

    def raw(self, storage: Storage, itemsize: int) -> bytes:
        """All bytes of one.

        Raises:
            CheckpointError: if they are not there, or of another length.
        """


@dataclass(frozen=True)
class TorchFile:
    """An open file: what it describes, and the way to its tensors."""

    content: Any
    records: Records

    def tensor(self, stored: Stored) -> Tensor:
        """The values, of a dtype that PyTorch knows.

        Raises:
            ValueError: if the description makes no sense.
        """
        import torch

        size, stride = _numbers(stored.size), _numbers(stored.stride)
        storage = stored.storage
        if not isinstance(storage, Storage) or prod(size) > _number(storage.numel):
            raise ValueError(f"a tensor of {size} values in a storage that cannot hold it")
        dtype: torch.dtype = getattr(torch, stored.dtype)
        raw = self.records.raw(storage, getattr(torch, storage.dtype).itemsize)
        if not raw:
            return torch.empty(size, dtype=dtype)
        flat = torch.frombuffer(bytearray(raw), dtype=dtype)
        return flat.as_strided(size, stride, _number(stored.offset)).contiguous()


@contextmanager
def open_torch(path: Path, *, whole: bool = True) -> Iterator[TorchFile]:
    """The file, as long as the block lasts.

    Args:
        path: the file.
        whole: whether the checksums of all that is in it are looked at, which reads all of it;
            without, what it describes alone is of use.

    Raises:
        CheckpointError: if ``torch.save`` has not written it, or it is damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _open_archive(path, archive, whole=whole)
    else:
        with path.open("rb") as file:
            yield _open_legacy(path, file)


def records_of(path: Path) -> tuple[str, ...]:
    """The names in an archive; none where it is no ZIP."""
    if not zipfile.is_zipfile(path):
        return ()
    with zipfile.ZipFile(path) as archive:
        return tuple(archive.namelist())


class _Archived:
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._read = lru_cache(maxsize=1)(archive.read)  # of a storage that many tensors share

    def raw(self, storage: Storage, itemsize: int) -> bytes:
        data = self._read(f"{self._root}data/{storage.key}")
        return _whole(data, storage, itemsize)


def _open_archive(path: Path, archive: zipfile.ZipFile, *, whole: bool) -> TorchFile:
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise CheckpointError(f"{path} is a ZIP archive that torch.save has not written")
    packed = [info.filename for info in archive.infolist() if info.compress_type]
    if packed:  # torch.save never does, and a few bytes could unpack to any number
        raise CheckpointError(
            f"{path} holds compressed records ({packed[0]!a}), which torch.save does not write; "
            "save the checkpoint again"
        )
    if whole or not any(info.CRC for info in archive.infolist()):
        _check_sums(path, archive)
    root = names[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") == b"big":
        raise CheckpointError(
            f"{path} was written on a big-endian machine; load it and save it again on this one"
        )
    content = unpickle(path, io.BytesIO(archive.read(names[0])))
    return TorchFile(content, _Archived(archive, root))


def _check_sums(path: Path, archive: zipfile.ZipFile) -> None:
    """Every record's checksum; ``set_crc32_options(False)`` of PyTorch's writes none at all."""
    if not any(info.CRC for info in archive.infolist()):
        for info in archive.infolist():
            info.CRC = None  # type: ignore[assignment]  # zipfile then compares nothing
        return
    if (bad := archive.testzip()) is not None:
        raise CheckpointError(
            f"{path} is damaged or cut short: its record {bad!a} does not have the checksum that "
            "was written with it; copy it again"
        )


class _Listed:
    """Storages one after another, at known places."""

    def __init__(self, file: BinaryIO, places: Mapping[str, tuple[int, int]]) -> None:
        self._file, self._places = file, places

    def raw(self, storage: Storage, itemsize: int) -> bytes:
        at, count = self._places[storage.key]
        self._file.seek(at)
        return _whole(self._file.read(count * itemsize), storage, itemsize)


def _open_legacy(path: Path, file: BinaryIO) -> TorchFile:
    if unpickle(path, file) != _MAGIC or unpickle(path, file) != _PROTOCOL:
        raise CheckpointError(
            f"{path} is a pickle that torch.save has not written; load it where it was made, and "
            "save its weights: torch.save(model.state_dict(), 'model.pth')"
        )
    machine = unpickle(path, file)
    if not isinstance(machine, Mapping) or machine.get("little_endian") is not True:
        raise CheckpointError(
            f"{path} was written on a big-endian machine; load it and save it again on this one"
        )
    storages: dict[str, Storage] = {}
    content = unpickle(path, file, storages)
    return TorchFile(content, _Listed(file, _places(path, file, storages)))


def _places(
    path: Path, file: BinaryIO, storages: Mapping[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Where each storage's values begin, and how many they are."""
    import torch

    places: dict[str, tuple[int, int]] = {}
    for key in unpickle(path, file):
        (count,) = struct.unpack("<q", file.read(8))
        storage = storages[str(key)]
        places[str(key)] = (file.tell(), count)
        file.seek(_number(count) * getattr(torch, storage.dtype).itemsize, io.SEEK_CUR)
    if file.tell() > os.fstat(file.fileno()).st_size:
        raise EOFError("the last values are missing")
    return places


def _whole(data: bytes, storage: Storage, itemsize: int) -> bytes:
    if len(data) != _number(storage.numel) * itemsize:
        raise ValueError(f"storage {storage.key} has {len(data)} bytes")
    return data


def _numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)):
        raise TypeError("a size that is no tuple")
    return tuple(_number(value) for value in values)


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} where a count belongs")
    return value
