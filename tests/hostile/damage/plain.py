"""Bytes without a meaning: flipped, cut, spliced, repeated, and numbers that often hurt."""

from __future__ import annotations

from random import Random

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
            0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
_MOST = 64  # bytes moved at a time


def flip(dice: Random, data: bytes) -> bytes:
    """One to eight bits."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8)) if made else 0):
        made[_place(dice, made)] ^= 1 << dice.randrange(8)
    return bytes(made)


def overwrite(dice: Random, data: bytes) -> bytes:
    """One byte with any other."""
    at = _place(dice, data)
    return data[:at] + dice.randbytes(1) + data[at + 1 :]


def cut(dice: Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: _place(dice, data)]


def remove(dice: Random, data: bytes) -> bytes:
    """A stretch is missing."""
    at = _place(dice, data)
    return data[:at] + data[at + dice.randint(1, _MOST) :]


def insert(dice: Random, data: bytes) -> bytes:
    """A stretch too many."""
    at = _place(dice, data)
    return data[:at] + dice.randbytes(dice.randint(1, _MOST)) + data[at:]


def repeat(dice: Random, data: bytes) -> bytes:
    """A stretch several times."""
    at, length = _place(dice, data), dice.randint(1, _MOST)
    return data[:at] + data[at : at + length] * dice.choice((2, 3, 100)) + data[at + length :]


def splice(dice: Random, data: bytes) -> bytes:
    """A stretch over another."""
    to, source, length = _place(dice, data), _place(dice, data), dice.randint(1, _MOST)
    part = data[source : source + length]
    return data[:to] + part + data[to + len(part) :]


def number(dice: Random, data: bytes) -> bytes:
    """A number that often hurts, of 1 to 8 bytes, in either order."""
    width = dice.choice((1, 2, 4, 8))
    value = dice.choice(_NUMBERS) & ((1 << 8 * width) - 1)
    at = _place(dice, data)
    return data[:at] + value.to_bytes(width, dice.choice(("little", "big"))) + data[at + width :]


def empty(dice: Random, data: bytes) -> bytes:
    """Nothing at all, or zeros as a broken download leaves them."""
    return b"" if dice.random() < 0.3 else data[: len(data) // 2] + bytes(len(data) // 2)


def _place(dice: Random, data: bytes | bytearray) -> int:
    """Heads and tails are where formats say what they are: a third each."""
    if not data:
        return 0
    least, most = dice.choice(((0, min(len(data), 256)), (max(len(data) - 256, 0), len(data)),
                               (0, len(data))))  # fmt: skip
    return dice.randrange(least, most)


PLAIN = (flip, flip, overwrite, cut, remove, insert, repeat, splice, number, number, empty)
