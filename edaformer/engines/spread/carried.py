"""Files that a worker reads: where they are if they are the same, else from the object store.

A file is the same if its SHA-256 is. What comes from the store lies in a folder of the worker's,
only as long as it is read; the folder is named by the process, so that what a killed one left is
found and removed by the next on that machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_PREFIX = "edaformer-spread-"


@dataclass(frozen=True)
class Carried:
    """A file as the driver has it."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Wanting:
    """A unit whose files are not with the worker, or are others there."""

    number: int


def carry(paths: Sequence[Path]) -> tuple[Carried, ...]:
    """Each with its hash, which is computed once as long as the file is not written to."""
    return tuple(Carried(path, file_sha256(path)) for path in paths)


def file_sha256(path: Path) -> str:
    """Of its bytes."""
    stat = path.stat()
    return _sha256(path, stat.st_mtime_ns, stat.st_size)


@contextmanager
def placed(
    files: Sequence[Carried], store: Mapping[Path, Any], fetch: Callable[[Any], bytes],
    moves: dict[Path, Path],
) -> Iterator[bool]:  # fmt: skip
    """Have files at hand, and in ``moves`` where they are not in their place.

    Yields:
        Whether they are: False where one is neither here nor in the store.
    """
    missing = [one for one in files if not _is_here(one)]
    if any(one.path not in store for one in missing):
        yield False
        return
    if not missing:
        yield True
        return
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
        for one in missing:
            at = Path(folder, one.path.name)
            if at.exists():  # an image and its labels are often named alike
                at = Path(tempfile.mkdtemp(dir=folder), one.path.name)
            at.write_bytes(fetch(store[one.path]))
            moves[one.path] = at
        try:
            yield True
        finally:
            for one in missing:
                moves.pop(one.path, None)


def sweep() -> None:
    """Remove what processes of this machine left that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_here(one: Carried) -> bool:
    try:
        return file_sha256(one.path) == one.sha256
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Dead, and its parent has not asked how it ended; False where there is no /proc."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] == "Z"


@lru_cache(maxsize=65536)
def _sha256(path: Path, _modified: int, _size: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
