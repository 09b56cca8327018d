"""The reference's predictions on disk, so that a second validation costs only the artifact.

An entry is one image under one checkpoint, ISR and way of running it, and holds the labels and the
margins: everything validation asks of PyTorch. It is named by the hash of all that decides it, ends
with a hash over that name and its own bytes, and is written whole or not at all; one that is
damaged, or another's under this name, is computed again. So a validation that was killed goes on
where it was. Where several processes compute, one writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from edaformer.errors import InputError
from edaformer.evaluation.protocol import Passes
from edaformer.files import write_whole
from edaformer.labels.decide import Decision

_FORMAT = 3  # of the entries and of the arithmetic that makes them
_PLANES = 3  # labels, and the margins' low and high bytes
_SEAL = 32  # bytes of SHA-256 that end an entry


@dataclass(frozen=True)
class CacheKey:
    """All that decides the reference's labels."""

    checkpoint_sha256: str
    prepared: str  # what the checkpoint was taken for: its normalisation and order of channels
    network: dict[str, str]  # and the sizes of its network, which a file may leave open
    isr: str
    align: int | None
    passes: Passes
    image_sha256: str  # of the decoded pixels
    size: tuple[int, int]  # (H, W) of the image
    classes: int
    torch_version: str

    @property
    def name(self) -> str:
        """The hash of all of it, as 64 hex digits."""
        content = json.dumps([_FORMAT, asdict(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class ReferenceCache:
    """A folder of entries, and how often it served."""

    folder: Path
    on_note: Callable[[str], None] = lambda _: None  # told of damaged entries
    found: int = 0
    made: int = 0
    _ready: set[Path] = field(default_factory=set)

    def get_or_make(self, key: CacheKey, make: Callable[[], Decision]) -> Decision:
        """The entry, or what ``make`` computes, which is kept.

        Raises:
            InputError: if the folder cannot be written.
        """
        path = self.folder / key.checkpoint_sha256[:16] / key.name[:2] / f"{key.name[2:]}.reference"
        entry = self._read(path, key)
        if entry is not None:
            self.found += 1
            return entry
        made = make()
        self._keep(path, encode(made, key))
        self.made += 1
        return made

    def write(self, entries: Iterable[tuple[Path, bytes]]) -> None:
        """What other processes computed, by paths below the folder.

        Raises:
            InputError: if the folder cannot be written.
        """
        for path, data in entries:
            self._keep(self.folder / path, data)

    def _keep(self, path: Path, data: bytes) -> None:
        self._make_folder(path.parent)
        write_whole(path, data)

    def _read(self, path: Path, key: CacheKey) -> Decision | None:
        try:
            with path.open("rb") as file:
                return decode(file.read(_most_bytes(key) + 1), key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, zlib.error) as error:
            self.on_note(f"the cached reference {path} is damaged ({error}); computing it again")
            return None

    def _make_folder(self, folder: Path) -> None:
        if folder in self._ready:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"the cache folder {self.folder} cannot be written ({error.strerror}); name "
                "another with --cache, or leave it out with --no-cache"
            ) from error
        self._ready.add(folder)


@dataclass
class ReadCache(ReferenceCache):
    """One that another process writes: entries are read where they are, and new ones handed on."""

    new: list[tuple[Path, bytes]] = field(default_factory=list)

    def take(self) -> tuple[tuple[Path, bytes], ...]:
        """What was computed since this was last asked for, for ``write``."""
        taken, self.new = tuple(self.new), []
        return taken

    def _keep(self, path: Path, data: bytes) -> None:
        self.new.append((path.relative_to(self.folder), data))


def default_folder() -> Path | None:
    """``$XDG_CACHE_HOME/edaformer`` or ``~/.cache/edaformer``, as the XDG specification has it.

    None where there is no home: a container's user without a name.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "edaformer"
    try:
        return Path.home() / ".cache" / "edaformer"
    except RuntimeError:
        return None


def encode(decision: Decision, key: CacheKey) -> bytes:
    """An entry's bytes; lossless."""
    planes = (decision.labels, *decision.margin_bytes())
    content = zlib.compress(b"".join(plane.tobytes() for plane in planes))
    return content + _seal(content, key)


def decode(data: bytes, key: CacheKey) -> Decision:
    """Read what encode wrote.

    Raises:
        ValueError, zlib.error: if it is not that, or was not written for this key.
    """
    content, seal = data[:-_SEAL], data[-_SEAL:]
    if seal != _seal(content, key):
        raise ValueError("its hash does not fit")
    height, width = key.size
    inflated = zlib.decompressobj().decompress(content, _PLANES * height * width + 1)
    if len(inflated) != _PLANES * height * width:
        raise ValueError(f"it is not of {height}x{width} pixels")
    labels, low, high = np.frombuffer(bytearray(inflated), np.uint8).reshape(_PLANES, height, width)
    if labels.max() >= key.classes:
        raise ValueError(f"it holds class {labels.max()} of {key.classes}")
    return Decision.of_bytes(labels, low, high)


def _seal(content: bytes, key: CacheKey) -> bytes:
    return hashlib.sha256(bytes.fromhex(key.name) + content).digest()


def _most_bytes(key: CacheKey) -> int:
    """Of an entry: zlib adds five bytes to each 16 KB that it cannot make smaller, and eleven."""
    raw = _PLANES * key.size[0] * key.size[1]
    return raw + 5 * (raw // 16_383 + 1) + 11 + _SEAL
