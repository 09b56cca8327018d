"""What comes back from a device, read as a stranger's file is: with bounds, and never believed.

A device may be broken or somebody else's. Whatever it answers, no more memory is taken than a line
or a table needs, no more disk than there is, and no file gets a name outside the folder of results.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from edaformer.errors import RemoteError
from edaformer.json_text import MOST_BYTES, parse_json
from edaformer.printable import in_one_line
from edaformer.remote.there import MARK

_LINE = 1 << 20  # bytes that are read as one line
_NOISE = 64 << 20  # bytes of other lines before an answer: a login shell greets in fewer
_NAME = 255  # bytes of a file's name, as file systems have it
_TEXT = 200  # letters of a text that is shown
_SPARE = 64 << 20  # bytes that stay free here
_CHUNK = 1 << 18
Told = dict[str, Any]


def next_answer(stdout: IO[bytes], host: str) -> Told | None:
    """The next one; None where the command ended without.

    Raises:
        RemoteError: if it is none, or does not come.
    """
    noise = 0
    while raw := stdout.readline(_LINE):
        if raw.startswith(MARK.encode()):
            return _parsed(raw, host)
        noise += len(raw)
        if noise > _NOISE:
            raise _unread(host, "nothing but other lines")
    return None


def whole_answer(stdout: IO[bytes], host: str) -> tuple[Told, str]:
    """All answers of a command as one, and what else it wrote.

    Raises:
        RemoteError: if one is none, or it is too much.
    """
    told: Told = {}
    text = bytearray()
    while raw := stdout.readline(_LINE):
        if raw.startswith(MARK.encode()):
            told |= _parsed(raw, host)
        else:
            text += raw
        if len(text) > MOST_BYTES:
            raise _unread(host, f"more than {MOST_BYTES >> 20} MiB")
    return told, text.decode("utf-8", "replace")


def count(told: Told, name: str, host: str) -> int:
    """A number of bytes or files.

    Raises:
        RemoteError: if it is none.
    """
    value = told.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _unread(host, f"{name}: {value!r:.40}")
    return value


def digest(told: Told, name: str, host: str) -> str:
    """A SHA-256.

    Raises:
        RemoteError: if it is none.
    """
    value = told.get(name)
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise _unread(host, f"{name}: {value!r:.40}")
    return value


def text(told: Told, name: str) -> str:
    """Something to show."""
    return in_one_line(str(told.get(name))[:_TEXT])


def place(told: Told, name: str, host: str) -> PurePosixPath:
    """Where a file belongs below a folder.

    Raises:
        RemoteError: if that is not below it, or no name of a file.
    """
    value = told.get(name)
    path = PurePosixPath(value if isinstance(value, str) else "/")
    sound = value == str(path) and path.parts and not path.is_absolute() and len(path.parts) < 16
    if not sound or not all(map(_is_plain, path.parts)):
        raise _unread(host, f"{name}: {value!r:.40}")
    return path


def received(stdout: IO[bytes], size: int) -> Iterator[bytes]:
    """So many bytes, in chunks; fewer where the connection was cut."""
    while size > 0 and (chunk := stdout.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk


def check_room(size: int, folder: Path, name: str) -> None:
    """Refuse to receive what the disk here cannot hold.

    Raises:
        RemoteError: saying how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        raise RemoteError(
            f"{in_one_line(name)} has {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free here; "
            "make room, or name another folder with --out"
        )


def _is_plain(part: str) -> bool:
    """A name that can be written and shown, and leads nowhere."""
    return (
        part not in {".", ".."} and part.isprintable() and len(part.encode("utf-8")) <= _NAME
        and "\\" not in part
    )  # fmt: skip


def _parsed(raw: bytes, host: str) -> Told:
    try:
        told = parse_json(raw[len(MARK) :])
    except ValueError as error:
        raise _unread(host, str(error)) from error
    if not isinstance(told, dict):
        raise _unread(host, f"{told!r:.40}")
    return told


def _unread(host: str, what: str) -> RemoteError:
    return RemoteError(
        f"{host}'s answer cannot be read ({in_one_line(what)}); run it again, with the same "
        "version on both machines"
    )
