"""One case: which damage follows from its seed, and what came of reading what it left."""

from __future__ import annotations

import hashlib
import resource
import shutil
import signal
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from edaformer.errors import EdaformerError
from tests.hostile.damage import Damage
from tests.hostile.reader import FindError, Reader, RefusedError
from tests.hostile.whole import is_whole

SECONDS = 30  # that a case may take; many cores' worth of other work may be running
_GROWTH = 3 << 20  # KiB of memory that a case may take: pictures may have 178 million pixels


class Applied(Protocol):
    """A step, or a find of the corpus."""

    def apply(self, folder: Path) -> None:
        """Damage a file in the folder."""


@dataclass(frozen=True)
class Step:
    """One damage to one file; the same bytes come of it every time."""

    file: str  # within the folder
    damage: Damage
    dice: str

    def apply(self, folder: Path) -> None:
        """Overwrite the file."""
        path = folder / self.file
        path.write_bytes(self.damage(Random(self.dice), path.read_bytes()))

    def __str__(self) -> str:
        return f"{self.file}: {self.damage.__name__}"


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    kind: str  # same, refused, read, find
    text: str = ""
    cause: str = ""  # of a find: exception and place, by which finds are told apart


class TimeLimitError(BaseException):
    """Not an Exception, so that no reader takes it for damage."""


def steps(reader: Reader, seed: int, number: int, folder: Path) -> list[Step]:
    """One to three, by seed and number alone."""
    dice = Random(f"{seed}/{reader.name}/{number}")
    made = []
    for at in range(dice.choice((1, 1, 1, 2, 3))):
        pattern = dice.choice(sorted(reader.damages))
        files = sorted(str(p.relative_to(folder)) for p in folder.glob(pattern) if p.is_file())
        damage = dice.choice(reader.damages[pattern])
        made.append(Step(dice.choice(files), damage, f"{seed}/{reader.name}/{number}/{at}"))
    return made


def try_steps(reader: Reader, sound: Path, todo: Sequence[Applied], work: Path) -> Outcome:
    """Copy the sound files, damage and read them."""
    lay_copy(sound, work)
    for step in todo:
        step.apply(work)
    return read(reader, sound, work)


def lay_copy(sound: Path, work: Path) -> None:
    """A fresh copy of the sound files."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound, work, symlinks=True)


def read(reader: Reader, sound: Path, work: Path) -> Outcome:
    """Read what lies there, and judge what came of it."""
    before = _files(work)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a library leaves them to whoever calls it
            told = reader.read(work)
        outcome = Outcome("read", told)
    except (EdaformerError, RefusedError) as error:
        outcome = Outcome("refused", str(error)[:300])
    except FindError as error:
        outcome = Outcome("find", str(error), str(error)[:40])
    except TimeLimitError:
        outcome = Outcome("find", f"takes more than {SECONDS} s", "hang")
    except Exception as error:  # noqa: BLE001  # a traceback is what we look for
        outcome = Outcome("find", _last(error), f"{type(error).__name__} at {_place(error)}")
    if outcome.kind == "find":
        return outcome
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    if grown > _GROWTH:
        return Outcome("find", f"takes {grown >> 10} MiB", "memory")
    if odd := [name for name in _files(work) - before if not is_whole(work / name)]:
        return Outcome("find", f"leaves {odd}", "leftover")
    same = (
        outcome.text == sound.with_suffix(".told").read_text() if outcome.kind == "read" else None
    )
    if same:
        return Outcome("same")
    if reader.sealed and outcome.kind == "read":
        return Outcome("find", f"another result without a word: {outcome.text[:200]}", "believed")
    return outcome


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@contextmanager
def _time_limit() -> Iterator[None]:
    def over(number: int, frame: object) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _last(error: BaseException) -> str:
    lines = traceback.format_exception_only(error)
    return " ".join(lines[0].split())[:300]


def _place(error: BaseException) -> str:
    """The last line of ours on the way to it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/edaformer/" in f.filename] or list(frames)
    return f"{ours[-1].filename.rpartition('/edaformer/')[2]}:{ours[-1].lineno}"


def key(reader: Reader) -> str:
    """A folder's name for a reader's sound files."""
    return hashlib.sha256(reader.name.encode()).hexdigest()[:8]
