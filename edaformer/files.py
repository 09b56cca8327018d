"""Files appear whole or not at all: nothing half-written ever has a name."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edaformer.errors import InputError

_WAITS = 50  # of 10 ms, for a name that another writer holds between two others


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_all(paths: Iterable[Path]) -> str:
    """SHA-256 of what ``sha256sum`` prints of a folder's files, in the order of their names."""
    lines = (f"{sha256(path)}  {path.name}\n" for path in sorted(paths))
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all, replacing what was there.

    Raises:
        InputError: if the folder cannot be made, or is not writable or full.
    """
    with open_whole(path) as file:
        file.write(data)


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write and read, which becomes ``path`` if the block ends well.

    It has no name until its bytes are on disk, so that the kernel frees it if the process dies. The
    folders that lead to it are made.

    Raises:
        InputError: if the folder cannot be made, or is not writable or full.
    """
    _check_place(path, "another")
    path = real_path(path)  # a link stays a link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _nameless(path) as file:
            yield file
    except OSError as error:
        raise _unwritten(path, error) from error


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder ``path`` with ``files`` in it, whole or not at all.

    Args:
        path: must not be there yet; the folders that lead to it are made.
        files: contents by relative path.

    Raises:
        InputError: if it is there, or its parent cannot be made, or is not writable or full.
    """
    check_new_folder(path)
    part = _part(path)
    try:
        part.mkdir(parents=True)
        for name, data in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            _write_synced(part / name, data)
        part.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_new_folder(path: Path) -> None:
    """Refuse a folder that cannot be made, before any work is done for it.

    Raises:
        InputError: naming the path and what to do.
    """
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists already; remove it or name another folder with -o")
    check_writable(path)


def check_folder(path: Path, *, option: str = "-o") -> None:
    """Refuse a folder to write into that is there and is none.

    Args:
        path: the folder.
        option: the one that names another, for the message.

    Raises:
        InputError: naming the path and what to do.
    """
    _check_link(path)
    if path.exists() and not path.is_dir():
        raise InputError(
            f"expected a folder at {path}, but it is a file; name another with {option}"
        )


def check_writable(path: Path, *inputs: Path, option: str = "-o", weights: bool = False) -> None:
    """Refuse an output path that cannot be written, before any work is done for it.

    Args:
        path: the output; the folders that lead to it will be made.
        inputs: files that it must not replace.
        option: the one that names another, for the message.
        weights: whether a checkpoint is written, and may take the place of one.

    Raises:
        InputError: naming the path and what to do.
    """
    another = f"another with {option}"
    _check_place(path, another)
    path = real_path(path)
    if path in {real_path(file) for file in inputs}:
        raise InputError(f"{path} is also an input and would be replaced; name {another}")
    if not weights and is_checkpoint(path):
        raise InputError(f"{path} is a checkpoint and would be replaced; name {another}")


def is_checkpoint(path: Path) -> bool:
    """Whether a file holds weights, as torch.save or safetensors writes them."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(9)
    if not head.startswith(b"PK\x03\x04"):  # a pickle; safetensors: a length, then JSON
        return head[:1] == b"\x80" or head[8:9] == b"{"
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return True  # cut short; nothing else that is written here is a ZIP archive without its end


def real_path(path: Path) -> Path:
    """Absolute, its links followed; one that leads to itself stays (Path.resolve would raise)."""
    return Path(os.path.realpath(path))


def _check_place(path: Path, another: str) -> None:
    """Refuse what is no regular file, or lies in no folder that can be made or written into."""
    _check_link(path)
    path = real_path(path)
    if path.is_dir():
        raise InputError(f"expected a file to write, but {path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"expected a regular file to write, but {path} is none; name {another}")
    folder = next(one for one in path.parents if one.exists())
    if not folder.is_dir():
        raise InputError(f"expected a folder at {folder}, but it is a file; name {another}")
    if not os.access(folder, os.W_OK):
        raise InputError(f"the folder {folder} is not writable; name {another}")


def _unwritten(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"cannot write {path}: {reason}; free some space or name another place")


def _check_link(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(
                f"{path} is a link that leads to itself; remove it or name another"
            ) from error


@contextmanager
def _nameless(path: Path) -> Iterator[BinaryIO]:
    descriptor = _open_nameless(path.parent)
    if descriptor is None:
        with _named(path) as file:
            yield file
        return
    with os.fdopen(descriptor, "w+b") as file:
        yield file
        file.flush()
        os.fsync(descriptor)
        _appear(descriptor, path)
    _sync_folder(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[BinaryIO]:
    part = _part(path)
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _appear(descriptor: int, path: Path) -> None:
    """Give the nameless file its name, and what has that name now up.

    A name can be given but not taken over: only a file that replaces another has, for a moment, a
    name between, always the same one, so that what a kill in that moment leaves there is cleared
    away by the next who writes this file.
    """
    digest = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()
    between = path.with_name(f".{digest[:16]}.part")
    waits = 0
    while not _give_name(descriptor, path):
        if _give_name(descriptor, between):
            try:
                with suppress(FileNotFoundError):  # another, who writes this file too, was quicker
                    between.replace(path)
            except BaseException:
                between.unlink(missing_ok=True)
                raise
            return
        if waits >= _WAITS:  # whoever gave it that name is dead
            between.unlink(missing_ok=True)
        waits += 1
        time.sleep(0.01)


def _open_nameless(folder: Path) -> int | None:
    """None on a system, or a file system (some network mounts), without nameless files."""
    flags = getattr(os, "O_TMPFILE", 0)
    with suppress(OSError):
        return os.open(folder, flags | os.O_RDWR, 0o666) if flags else None
    return None


def _give_name(descriptor: int, path: Path) -> bool:
    """False where another file has it."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # with a folder descriptor Python calls linkat, which follows /proc's link
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder)
    except FileExistsError:
        return False
    finally:
        os.close(folder)
    return True


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _part(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(8)}.part")


def _sync_folder(path: Path) -> None:
    """As far as it can be had: not on Windows, nor on SMB and other shares. The file is synced."""
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
