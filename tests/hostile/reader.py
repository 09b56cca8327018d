"""What a reader is to the campaign: sound files, what is damaged in them, and how they are read."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from tests.hostile.damage import Damage

REFUSALS = {1, 2, 3, 130}
_ALLOWED = {"\n", "\t"}  # what printed text may hold beside printable letters


class RefusedError(Exception):
    """It was not read, in words."""


class FindError(Exception):
    """What must not happen."""


@dataclass(frozen=True)
class Reader:
    """One way by which untrusted bytes come in."""

    name: str
    lay: Callable[[Path], object]  # writes the sound files into an empty folder
    read: Callable[[Path], str]  # reads them; says what came out
    damages: Mapping[str, tuple[Damage, ...]]  # by a pattern of the files
    sealed: bool = False  # whether what comes out must be what the sound files give
    share: float = 1  # of the cases


def command(folder: Path, *words: object) -> str:
    """Run ``edaformer WORDS`` in this process; what it prints on stdout.

    Raises:
        RefusedError: if it ends with one of the exit codes for that.
        FindError: for another exit code, unprintable text or a warning.
    """
    from edaformer.cli.main import app

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        ran = CliRunner().invoke(app, [str(word) for word in words])
    if heard:
        raise FindError(f"warns: {heard[0].message}")
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    text = ran.stdout + ran.stderr
    odd = sorted({letter for letter in text if not letter.isprintable()} - _ALLOWED)
    if odd:
        raise FindError(f"prints {odd!r}")
    if "out of memory" in text:
        raise FindError(f"asks for all memory: {text.strip()[-200:]}")
    if ran.exit_code in REFUSALS:
        if not ran.stderr.strip() and not ran.stdout.strip():
            raise FindError(f"exit code {ran.exit_code} without a word")
        raise RefusedError(ran.stderr.replace(str(folder), "").strip()[-300:])
    if ran.exit_code != 0:
        raise FindError(f"exit code {ran.exit_code}: {text.strip()[-200:]}")
    return ran.stdout.replace(str(folder), "")


def digest(*parts: Any) -> str:
    """Of arrays and of whatever else has a repr."""
    made = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            made.update(f"{part.shape}{part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
        else:
            made.update(repr(part).encode())
    return made.hexdigest()[:16]
