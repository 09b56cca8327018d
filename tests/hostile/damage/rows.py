"""SQLite: values of other types, numbers that cannot be, rows twice or gone, another schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from random import Random
from typing import Any

_VALUES: tuple[Any, ...] = (
    None, "", 0, -1, 1.5, float("inf"), 2**62, b"", b"\x01", "\ud7ff", "x" * 5000, "16,8,4,1",
    bytes(8 * 15), "nan",
)  # fmt: skip


def cell(dice: Random, data: bytes) -> bytes:
    """Another value in a cell."""
    return _changed(dice, data, lambda old: dice.choice(_VALUES))


def bit(dice: Random, data: bytes) -> bytes:
    """A bit or a digit of a cell."""

    def change(old: Any) -> Any:
        if isinstance(old, bytes) and old:
            made = bytearray(old)
            made[dice.randrange(len(made))] ^= 1 << dice.randrange(8)
            return bytes(made)
        if isinstance(old, str) and old:
            at = dice.randrange(len(old))
            return old[:at] + dice.choice("0123456789abcdef") + old[at + 1 :]
        return old + 1 if isinstance(old, (int, float)) else old

    return _changed(dice, data, change)


def move(dice: Random, data: bytes) -> bytes:
    """A column's values in each other's rows."""
    form = "UPDATE {table} SET {column} = (SELECT {column} FROM {table} ORDER BY rowid DESC)"
    return _statement(dice, data, form)


def gone(dice: Random, data: bytes) -> bytes:
    """A table, a column or all rows are missing."""
    form = dice.choice((
        "DROP TABLE {table}", "ALTER TABLE {table} RENAME COLUMN {column} TO other",
        "DELETE FROM {table}", "ALTER TABLE {table} ADD COLUMN more TEXT",
    ))  # fmt: skip
    return _statement(dice, data, form)


def _changed(dice: Random, data: bytes, change: Any) -> bytes:
    def apply(connection: sqlite3.Connection) -> None:
        table, column = _column(dice, connection)
        rows = connection.execute(f'SELECT rowid, "{column}" FROM "{table}"').fetchall()
        if rows:
            row, old = dice.choice(rows)
            text = f'UPDATE OR IGNORE "{table}" SET "{column}" = ? WHERE rowid = ?'
            connection.execute(text, (change(old), row))

    return _edited(data, apply)


def _statement(dice: Random, data: bytes, form: str) -> bytes:
    def apply(connection: sqlite3.Connection) -> None:
        table, column = _column(dice, connection)
        connection.execute(form.format(table=table, column=column))

    return _edited(data, apply)


def _column(dice: Random, connection: sqlite3.Connection) -> tuple[str, str]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    (table,) = dice.choice(sorted(tables))
    columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    return table, dice.choice(columns)[1]


def _edited(data: bytes, apply: Any) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.deserialize(data)
            apply(connection)
            connection.commit()
            return connection.serialize()
        except (sqlite3.Error, MemoryError, IndexError, UnicodeError, OverflowError):
            return data


ROWS = (cell, cell, bit, bit, bit, move, gone)
