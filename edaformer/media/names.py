"""What outputs are called: after their input, and where two would clash, with more of its path.

``a/x.png`` makes ``x``. With ``a/x.jpg`` beside it the two are ``x.png`` and ``x.jpg``, and with
``b/x.png`` they are ``a/x`` and ``b/x``. A folder's files keep their place in it. The same
inputs always make the same names.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath


def names_of(path: Path, within: Path) -> tuple[str, ...]:
    """Names for a file's outputs, each with more of its path than the one before.

    Args:
        path: the file.
        within: the end of the path that the person did not write out, or the file's name.
    """
    folders = Path(os.path.abspath(path.parent)).parts[1:]  # noqa: PTH100  # resolve follows links
    deeper = folders[: len(folders) - len(within.parent.parts)]
    heads = (Path(*deeper[len(deeper) - count :]) for count in range(len(deeper) + 1))
    ends = (within.with_suffix(""), within)
    return tuple((head / end).as_posix() for head in heads for end in ends)


def unique_keys(names: Sequence[tuple[str, ...]]) -> list[str]:
    """One name for each input, none of them another one or a folder of another one.

    Args:
        names: each input's, in the order of preference; where they run out, a number is added.
    """
    level = [0] * len(names)
    while True:
        keys = [options[at] for options, at in zip(names, level, strict=True)]
        clashing = [
            index
            for index in _clashes(keys)
            if level[index] + 1 < len(names[index])
        ]  # fmt: skip
        if not clashing:
            return _numbered(keys)
        for index in clashing:
            level[index] += 1


def _clashes(keys: Sequence[str]) -> list[int]:
    """Those that others are called like, or lie in."""
    taken = Counter(keys)
    taken.update({str(parent) for key in keys for parent in PurePosixPath(key).parents})
    return [index for index, key in enumerate(keys) if taken[key] > 1]


def _numbered(keys: Sequence[str]) -> list[str]:
    """The keys, the second and later of equal ones with a number."""
    made: dict[str, None] = {}
    for key in keys:
        tried, number = key, 1
        while tried in made:
            number += 1
            tried = f"{key}-{number}"
        made[tried] = None
    return list(made)
