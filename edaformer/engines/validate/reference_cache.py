"""The reference's predictions on disk, so that a second validation costs only the artifact.

An entry is one image under one checkpoint, ISR and way of running it, and holds the labels and the
margins: everything validation asks of PyTorch. It is named by the hash of all that decides it, is
written whole or not at all, and is checked when read; a damaged one is computed again. So a
validation that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from edaformer.errors import InputError
from edaformer.evaluation.protocol import Passes
from edaformer.files import write_whole
from edaformer.labels.decide import Decision

_FORMAT = 2  # of the entries and of the arithmetic that makes them
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class CacheKey:
    """All that decides the reference's labels."""

    checkpoint_sha256: str
    prepared: str  # what the checkpoint was taken for: its normalisation and order of channels
    isr: str
    align: int | None
    passes: Passes
    image_sha256: str  # of the decoded pixels
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
        path = self.folder / key.checkpoint_sha256[:16] / key.name[:2] / f"{key.name[2:]}.npz"
        entry = self._read(path)
        if entry is not None:
            self.found += 1
            return entry
        made = make()
        self._make_folder(path.parent)
        write_whole(path, encode(made))
        self.made += 1
        return made

    def _read(self, path: Path) -> Decision | None:
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
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


def encode(decision: Decision) -> bytes:
    """An entry's bytes; lossless."""
    file = io.BytesIO()
    low, high = decision.margin_bytes()
    np.savez_compressed(file, labels=decision.labels, low=low, high=high)
    return file.getvalue()


def decode(data: bytes) -> Decision:
    """Read what encode wrote; raises one of _DAMAGE where that is not so."""
    with np.load(io.BytesIO(data), allow_pickle=False) as entry:
        labels, low, high = entry["labels"], entry["low"], entry["high"]
    sound = labels.dtype == low.dtype == high.dtype == np.uint8 and labels.ndim == 2
    if not (sound and labels.shape == low.shape == high.shape):
        raise ValueError("its arrays do not belong together")
    return Decision.of_bytes(labels, low, high)
