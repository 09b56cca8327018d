"""ZIP archives (.pth, reference files, witnesses, cache entries): records that lie, and bombs."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from tests.hostile.damage import Damage
from tests.hostile.damage.documents import JSONS

_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
# offsets of numbers in an entry of the directory: flags, method, CRC, sizes, lengths, disk, offset
_IN_ENTRY = ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (34, 2), (42, 4))
_IN_LOCAL = ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
_NAMES = ("../escape", "/etc/passwd", "a" * 5000, "", "data.pkl", "\udc80", "head.json", "x\0y")


def directory(dice: Random, data: bytes) -> bytes:
    """A number in the directory."""
    return _number(dice, data, _ENTRY, _IN_ENTRY)


def local(dice: Random, data: bytes) -> bytes:
    """A number before a member."""
    return _number(dice, data, _LOCAL, _IN_LOCAL)


def size_and_bit(dice: Random, data: bytes) -> bytes:
    """A member's size less one, which keeps zipfile from its CRC, and a bit of the content."""
    places = _places(data, _ENTRY)
    if not places:
        return data
    made, at = bytearray(data), dice.choice(places)
    (size,) = struct.unpack_from("<I", made, at + 24)
    struct.pack_into("<I", made, at + 24, max(size - dice.choice((1, 8)), 0))
    made[dice.randrange(at)] ^= 1 << dice.randrange(8)
    return bytes(made)


def content(dice: Random, data: bytes) -> bytes:
    """A member's bytes, with a CRC that fits them."""

    def change(members: dict[str, bytes]) -> None:
        name = dice.choice(sorted(members))
        made = bytearray(members[name] or b"\0")
        for _ in range(dice.choice((1, 4))):
            made[dice.randrange(len(made))] ^= 1 << dice.randrange(8)
        members[name] = bytes(made)

    return _again(data, change)


def bomb(dice: Random, data: bytes) -> bytes:
    """A member that inflates to 32 MiB."""

    def change(members: dict[str, bytes]) -> None:
        members[dice.choice(sorted(members))] = bytes(1 << 25)

    return _again(data, change)


def rename(dice: Random, data: bytes) -> bytes:
    """A member of another name."""

    def change(members: dict[str, bytes]) -> None:
        old = dice.choice(sorted(members))
        members[dice.choice((*_NAMES, *members))] = members.pop(old)

    return _again(data, change)


def drop(dice: Random, data: bytes) -> bytes:
    """A member is missing."""
    return _again(data, lambda members: members.pop(dice.choice(sorted(members))))


def swap(dice: Random, data: bytes) -> bytes:
    """Two members have each other's bytes."""

    def change(members: dict[str, bytes]) -> None:
        one, two = dice.choice(sorted(members)), dice.choice(sorted(members))
        members[one], members[two] = members[two], members[one]

    return _again(data, change)


def inside(name: str, damage: Damage) -> Damage:
    """A damage to a member."""

    def change(dice: Random, data: bytes) -> bytes:
        def one(members: dict[str, bytes]) -> None:
            if name in members:
                members[name] = damage(dice, members[name])

        return _again(data, one)

    change.__name__ = f"{damage.__name__}_in_{name}"
    return change


def resealed(damage: Damage) -> Damage:
    """A damage that whoever knows the format made: the hash that ends our archives fits it."""

    def change(dice: Random, data: bytes) -> bytes:
        made = damage(dice, data)
        return made[:-64] + hashlib.sha256(made[:-64]).hexdigest().encode()

    change.__name__ = f"resealed_{damage.__name__}"
    return change


def twice(dice: Random, data: bytes) -> bytes:
    """Whole archives behind each other."""
    return data + data if dice.random() < 0.5 else dice.randbytes(20) + data


def _again(data: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The archive with other members; what is no archive any more stays as it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            infos = old.infolist()
            members = {info.filename: old.read(info) for info in infos}
            methods, comment = {info.filename: info.compress_type for info in infos}, old.comment
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, OSError,
            RuntimeError, UnicodeError, OverflowError):  # fmt: skip
        return data
    if not members:
        return data
    change(members)
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as made:
        warnings.simplefilter("ignore")
        for name, part in members.items():
            method = zipfile.ZIP_DEFLATED if len(part) > 1 << 24 else methods.get(name, 0)
            clean = name.encode("utf-8", "replace").decode()
            made.writestr(zipfile.ZipInfo(clean or " "), part, method)
        made.comment = comment
    return file.getvalue()


def _number(dice: Random, data: bytes, mark: bytes, fields: tuple[tuple[int, int], ...]) -> bytes:
    places = _places(data, mark)
    if not places:
        return data
    offset, width = dice.choice(fields)
    at, most = dice.choice(places) + offset, (1 << 8 * width) - 1
    old = int.from_bytes(data[at : at + width], "little")
    new = dice.choice((0, 1, most, most >> 1, old + 1, old - 1, old ^ (1 << dice.randrange(16))))
    return data[:at] + (new & most).to_bytes(width, "little") + data[at + width :]


def _places(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


ZIPS = (
    directory,
    directory,
    local,
    size_and_bit,
    content,
    content,
    bomb,
    rename,
    drop,
    swap,
    twice,
)
RESEALED = tuple(
    resealed(damage) for damage in (*ZIPS, *(inside("head.json", one) for one in (*JSONS, *JSONS)))
)
