"""A job without a network, whose units can do to their process whatever is asked of them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from edaformer.engines.spread.job import Placed
from edaformer.errors import DataError, MissingError


@dataclass(frozen=True)
class Toy:
    """Squares a number; the folder holds a file for every attempt that killed its process."""

    folder: Path
    kills: tuple[int, ...] = ()  # units that kill their process
    times: int = 1  # how often each does
    fails: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()
    seconds: float = 0.0
    file: Path | None = None  # whose bytes are added up with each unit
    refused: bool = False
    needs_gpu: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @property
    def kept(self) -> str:
        return "nothing is kept"

    def open(self, placed: Placed) -> Opened:
        if self.refused:
            raise MissingError("there is no such thing here")
        return Opened(self, placed)

    def unit_files(self, unit: int) -> tuple[Path, ...]:
        return () if self.file is None else (self.file,)

    def called(self, unit: int) -> str:
        return f"number {unit}"


@dataclass
class Opened:
    toy: Toy
    placed: Placed

    def read(self, unit: int) -> int:
        return unit

    def work(self, read: int) -> tuple[int, int]:
        toy = self.toy
        time.sleep(toy.seconds)
        if read in toy.kills:
            died = len(list(toy.folder.glob(f"{read}-*")))
            if died < toy.times:
                (toy.folder / f"{read}-{died}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if read in toy.fails:
            raise DataError(f"number {read} cannot be read")
        if read in toy.breaks:
            raise ZeroDivisionError(read)
        extra = 0
        if toy.file is not None:
            extra = sum(self.placed.moves.get(toy.file, toy.file).read_bytes())
        return read * read + extra, os.getpid()

    def close(self) -> None:
        pass
