"""The results file: one row a trial, in SQLite, so that kill -9 costs the image at hand.

A trial is one setting on one image, and its row holds what IoU needs: hits, true and predicted
pixels of every class. A transaction is one image; it is on disk when it returns. The file says what
it belongs to, and serves nothing else. Every row is sealed (rows.py): one that was changed is told,
dropped and computed again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edaformer.border import border
from edaformer.closing import Closing
from edaformer.engines.tune.search.rows import (
    Built,
    BuiltRow,
    Counts,
    ImageRow,
    Latency,
    LatencyRow,
    Seal,
    TrialRow,
)
from edaformer.engines.tune.search.setting import Setting, key_of
from edaformer.errors import InputError
from edaformer.isr import EDAFORMER, Places

if TYPE_CHECKING:
    from typing_extensions import Self

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS bound (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS images (
        at INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, seal TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS trials (
        isr TEXT NOT NULL, at INTEGER NOT NULL, counts BLOB NOT NULL, seal TEXT NOT NULL,
        PRIMARY KEY (isr, at)
    );
    CREATE TABLE IF NOT EXISTS latencies (
        isr TEXT NOT NULL, runs_on TEXT NOT NULL, seconds REAL NOT NULL, bytes INTEGER NOT NULL,
        spread REAL NOT NULL, seal TEXT NOT NULL, PRIMARY KEY (isr, runs_on)
    );
    CREATE TABLE IF NOT EXISTS builds (
        setting TEXT NOT NULL, built_by TEXT NOT NULL, kernels INTEGER NOT NULL,
        traffic INTEGER NOT NULL, fused INTEGER NOT NULL, dequantise INTEGER NOT NULL,
        bytes INTEGER NOT NULL, seal TEXT NOT NULL, PRIMARY KEY (setting, built_by)
    );
"""


@dataclass
class Trials(Closing):
    """An open results file, and all of it in memory."""

    path: Path
    connection: sqlite3.Connection
    seal: Seal
    places: Places = EDAFORMER  # of the model that is tried
    counts: dict[Setting, dict[int, Counts]] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)  # of the images, by index
    latencies: dict[tuple[Setting, str], Latency] = field(default_factory=dict)
    builds: dict[tuple[Setting, str], Built] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        path: Path,
        bound: Mapping[str, str],
        places: Places = EDAFORMER,
        *,
        resume: bool,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Begin a file, or go on with one.

        Args:
            path: the file.
            bound: what its rows depend on: checkpoint, size, protocol and the like.
            places: of the model that is tried.
            resume: go on with what is there; without it an existing file is refused.
            on_note: told of rows that are damaged.

        Raises:
            InputError: if there is a file already, it belongs to something else, or is in use.
        """
        if path.exists() and not resume:
            raise InputError(
                f"{path} holds an earlier run; go on with it with --resume, or name another "
                "folder with --out"
            )
        with _told(path):
            connection = sqlite3.connect(path, isolation_level=None)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")  # its seal tells
        made = cls(path, connection, Seal.of(bound), places)
        try:
            with _told(path):
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(_SCHEMA)
                _bind(connection, path, bound)
                dropped = made._read()
        except BaseException:
            made.close()
            raise
        if dropped:
            on_note(f"{dropped} results in {path} are damaged; computing them again")
        return made

    def add(self, at: int, sha256: str, made: Mapping[Setting, Counts]) -> None:
        """One image at some settings; on disk when this returns.

        Raises:
            InputError: if the file is in use, or its disk is full.
        """
        image = ImageRow(at, sha256)
        rows = [TrialRow(key_of(one), at, counts.astype("<i8").tobytes())
                for one, counts in made.items()]  # fmt: skip
        with _told(self.path), closing(self.connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?)", (*image, self.seal.image(image))
            )
            cursor.executemany(
                "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)",
                [(*row, self.seal.trial(row, sha256)) for row in rows],
            )
            cursor.execute("COMMIT")
        self.hashes[at] = sha256
        for one, counts in made.items():
            self.counts.setdefault(one, {})[at] = counts

    def add_latency(self, setting: Setting, runs_on: str, made: Latency) -> None:
        """One measured setting.

        Raises:
            InputError: if the file is in use, or its disk is full.
        """
        times = float(made.seconds), made.file_bytes, float(made.spread)
        row = LatencyRow(key_of(setting), runs_on, *times)
        with _told(self.path):
            self.connection.execute(
                "INSERT OR REPLACE INTO latencies VALUES (?, ?, ?, ?, ?, ?)",
                (*row, self.seal.latency(row)),
            )
        self.latencies[setting, runs_on] = made

    def add_built(self, setting: Setting, built_by: str, made: Built) -> None:
        """One setting that was built.

        Raises:
            InputError: if the file is in use, or its disk is full.
        """
        row = BuiltRow(key_of(setting), built_by, *astuple(made))
        with _told(self.path):
            self.connection.execute(
                "INSERT OR REPLACE INTO builds VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, self.seal.built(row)),
            )
        self.builds[setting, built_by] = made

    def has(self, setting: Setting, at: int) -> bool:
        """Whether this trial was made."""
        return at in self.counts.get(setting, {})

    def matrix(self, settings: Iterable[Setting], images: Iterable[int]) -> NDArray[np.float64]:
        """(settings, images, 3, classes)."""
        at = list(images)
        return np.array([[self.counts[one][i] for i in at] for one in settings], np.float64)

    def __len__(self) -> int:
        return sum(map(len, self.counts.values()))

    def close(self) -> None:
        """Close the file; every row is on disk already."""
        with suppress(sqlite3.Error):
            self.connection.close()

    def _read(self) -> int:
        """All rows that are as they were written; the others are dropped, and counted."""
        damaged: list[tuple[str, int]] = []
        for row, *columns in self._rows("images", "at, sha256, seal"):
            if (image := self.seal.read_image(columns)) is None:
                damaged.append(("images", row))
            else:
                self.hashes[image.at] = image.sha256
        for row, *columns in self._rows("trials", "isr, at, counts, seal"):
            if (trial := self.seal.read_trial(columns, self.hashes, self.places)) is None:
                damaged.append(("trials", row))
            else:
                setting, at, counts = trial
                self.counts.setdefault(setting, {})[at] = counts
        for row, *columns in self._rows("latencies", "isr, runs_on, seconds, bytes, spread, seal"):
            if (measured := self.seal.read_latency(columns, self.places)) is None:
                damaged.append(("latencies", row))
            else:
                setting, runs_on, latency = measured
                self.latencies[setting, runs_on] = latency
        columns_of_builds = "setting, built_by, kernels, traffic, fused, dequantise, bytes, seal"
        for row, *columns in self._rows("builds", columns_of_builds):
            if (built := self.seal.read_built(columns, self.places)) is None:
                damaged.append(("builds", row))
            else:
                setting, built_by, figures = built
                self.builds[setting, built_by] = figures
        self._drop(damaged)
        return len(damaged)

    def _rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        query = f"SELECT rowid, {columns} FROM {table}"  # noqa: S608  # ours
        return self.connection.execute(query).fetchall()

    def _drop(self, damaged: list[tuple[str, int]]) -> None:
        if damaged:
            self.connection.execute("BEGIN IMMEDIATE")
            for table, row in damaged:
                self.connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608
            self.connection.execute("COMMIT")


def _told(path: Path) -> AbstractContextManager[None]:
    """SQLite's errors, and its binding's over damaged text, as sentences."""
    return border(lambda said: InputError(_sentence(path, said)))


def _sentence(path: Path, said: str) -> str:
    if "locked" in said or "busy" in said:
        return (
            f"{path} is in use by another program ({said}); close that, or name another folder "
            "with --out"
        )
    if any(word in said for word in ("full", "readonly", "I/O", "unable to open")):
        return f"cannot write {path} ({said}); free some space, or name another folder with --out"
    return (
        f"{path} is not a results file of edaformer-tune ({said}); name another folder with --out"
    )


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
                f"{path} was begun with {name} {_short(str(own.get(name)))}, and this is "
                f"{_short(value)}; name another folder with --out, or go on with the same"
            )


def _short(value: str) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
