"""The results file: one row a trial, in SQLite, so that kill -9 costs the image at hand.

A trial is one setting on one image, and its row holds what IoU needs: hits, true and predicted
pixels of every class. A transaction is one image; it is on disk when it returns. The file says what
it belongs to, and serves nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edaformer.closing import Closing
from edaformer.errors import InputError
from edaformer.isr import EDAFORMER, ISR, Places

if TYPE_CHECKING:
    from typing_extensions import Self

Counts = NDArray[np.int64]  # (3, classes): hits, true pixels, predicted pixels
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS bound (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS images (at INTEGER PRIMARY KEY, sha256 TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS trials (
        isr TEXT NOT NULL, at INTEGER NOT NULL, counts BLOB NOT NULL, PRIMARY KEY (isr, at)
    );
    CREATE TABLE IF NOT EXISTS latencies (
        isr TEXT NOT NULL, runs_on TEXT NOT NULL, seconds REAL NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (isr, runs_on)
    );
"""


@dataclass(frozen=True)
class Latency:
    """A measured frame."""

    seconds: float  # median wall time, image to labels
    file_bytes: int  # of what was run: a plan, or an ONNX file


@dataclass
class Trials(Closing):
    """An open results file, and all of it in memory."""

    path: Path
    connection: sqlite3.Connection
    places: Places = EDAFORMER  # of the model that is tried
    counts: dict[ISR, dict[int, Counts]] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)  # of the images, by index
    latencies: dict[tuple[ISR, str], Latency] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: Path, bound: Mapping[str, str], places: Places = EDAFORMER, *, resume: bool
    ) -> Self:
        """Begin a file, or go on with one.

        Args:
            path: the file.
            bound: what its rows depend on: checkpoint, size, protocol and the like.
            places: of the model that is tried.
            resume: go on with what is there; without it an existing file is refused.

        Raises:
            InputError: if there is a file already, or it belongs to something else.
        """
        if path.exists() and not resume:
            raise InputError(
                f"{path} holds an earlier run; go on with it with --resume, or name another "
                "folder with --out"
            )
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SCHEMA)
            _bind(connection, path, bound)
            made = cls(path, connection, places)
            made._read()
        except (sqlite3.DatabaseError, ValueError) as error:
            connection.close()
            raise InputError(
                f"{path} is not a results file of edaformer-tune ({error}); name another folder "
                "with --out"
            ) from error
        except InputError:
            connection.close()
            raise
        return made

    def add(self, at: int, sha256: str, made: Mapping[ISR, Counts]) -> None:
        """One image at some settings; on disk when this returns."""
        rows = [(str(isr), at, counts.astype("<i8").tobytes()) for isr, counts in made.items()]
        with closing(self.connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (at, sha256))
            cursor.executemany("INSERT OR REPLACE INTO trials VALUES (?, ?, ?)", rows)
            cursor.execute("COMMIT")
        self.hashes[at] = sha256
        for isr, counts in made.items():
            self.counts.setdefault(isr, {})[at] = counts

    def add_latency(self, isr: ISR, runs_on: str, made: Latency) -> None:
        """One measured setting."""
        row = (str(isr), runs_on, made.seconds, made.file_bytes)
        self.connection.execute("INSERT OR REPLACE INTO latencies VALUES (?, ?, ?, ?)", row)
        self.latencies[isr, runs_on] = made

    def has(self, isr: ISR, at: int) -> bool:
        """Whether this trial was made."""
        return at in self.counts.get(isr, {})

    def matrix(self, settings: Iterable[ISR], images: Iterable[int]) -> NDArray[np.float64]:
        """(settings, images, 3, classes)."""
        at = list(images)
        return np.array([[self.counts[isr][i] for i in at] for isr in settings], np.float64)

    def __len__(self) -> int:
        return sum(map(len, self.counts.values()))

    def close(self) -> None:
        """Close the file; every row is on disk already."""
        with suppress(sqlite3.Error):
            self.connection.close()

    def _read(self) -> None:
        for isr, at, data in self.connection.execute("SELECT isr, at, counts FROM trials"):
            counts = np.frombuffer(data, "<i8").astype(np.int64).reshape(3, -1)
            self.counts.setdefault(ISR.parse(isr, self.places), {})[at] = counts
        self.hashes.update(self.connection.execute("SELECT at, sha256 FROM images"))
        rows = self.connection.execute("SELECT isr, runs_on, seconds, bytes FROM latencies")
        for isr, runs_on, seconds, size in rows:
            self.latencies[ISR.parse(isr, self.places), runs_on] = Latency(seconds, size)


def _bind(connection: sqlite3.Connection, path: Path, bound: Mapping[str, str]) -> None:
    """A new file is bound, an old one compared."""
    own = dict(connection.execute("SELECT name, value FROM bound"))
    if not own:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO bound VALUES (?, ?)", bound.items())
        connection.execute("COMMIT")
        return
    for name, value in bound.items():
        if own.get(name) != value:
            raise InputError(
                f"{path} was begun with {name} {_short(own.get(name))}, and this is "
                f"{_short(value)}; name another folder with --out, or go on with the same"
            )


def _short(value: str | None) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
