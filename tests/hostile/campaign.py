"""The campaign: cases handed to a child process, which is started again where it dies or hangs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import Self

from tests.hostile.case import SECONDS
from tests.hostile.corpus import CORPUS
from tests.hostile.reader import Reader

ROOT = Path(__file__).parents[2]
_PATIENCE = SECONDS + 60  # of silence, after which the child hangs in a library
_BLOCK = 50  # cases handed over at a time


@dataclass(frozen=True)
class Find:
    """What must not happen, and how to make it happen again."""

    reader: str
    number: int | str  # of the case, or its name in the corpus
    cause: str
    text: str
    smallest: str


@dataclass
class Tally:
    """What came of the cases."""

    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)  # of (reader, kind)
    finds: list[Find] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # by reader

    def count(self, reader: str) -> int:
        """Its cases."""
        return sum(n for (name, _), n in self.kinds.items() if name == reader)

    @property
    def causes(self) -> dict[tuple[str, str], list[Find]]:
        """Finds by reader and cause."""
        made: dict[tuple[str, str], list[Find]] = {}
        for find in self.finds:
            made.setdefault((find.reader, find.cause), []).append(find)
        return made


def shares(readers: Iterable[Reader], cases: int) -> dict[str, int]:
    """How many cases each reader gets."""
    readers = list(readers)
    total = sum(reader.share for reader in readers)
    return {reader.name: max(round(cases * reader.share / total), 1) for reader in readers}


def campaign(
    readers: Sequence[Reader],
    seed: int,
    cases: int,
    on_block: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Try the corpus, then ``cases`` in all."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder, Child(Path(folder)) as child:
        _try_corpus(readers, child, tally)
        on_block(f"corpus: {len(tally.finds)} finds")
        for name, count in shares(readers, cases).items():
            start = time.monotonic()
            for first in range(0, count, _BLOCK):
                numbers = range(first, min(first + _BLOCK, count))
                for answer in child.tried(name, seed, numbers):
                    _enter(tally, name, answer)
            tally.seconds[name] = round(time.monotonic() - start, 1)
            on_block(f"{name}: {count} cases, {tally.seconds[name]} s, "
                     f"{tally.kinds[name, 'find']} finds")  # fmt: skip
    return tally


def _try_corpus(readers: Iterable[Reader], child: Child, tally: Tally) -> None:
    for known in (known for known in CORPUS if known.reader in {one.name for one in readers}):
        (answer,) = child.tried(known.reader, None, [known.name])
        if known.refused and answer["kind"] in {"same", "read"}:
            answer |= {"kind": "find", "cause": "believed", "text": "it is read without a word"}
        _enter(tally, known.reader, answer)


def _enter(tally: Tally, name: str, answer: dict[str, Any]) -> None:
    tally.kinds[name, answer["kind"]] += 1
    if answer["kind"] == "find":
        smallest = answer.get("smallest", "the process that read it is gone")
        tally.finds.append(Find(name, answer["number"], answer["cause"], answer["text"], smallest))


class Child:
    """The process that does the reading; a dead one names its case and is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "log").open("w+b")
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._log.close()

    def tried(
        self, name: str, seed: int | None, numbers: Iterable[int | str]
    ) -> Iterator[dict[str, Any]]:
        """The answers to these cases."""
        left = list(numbers)
        while left:
            self._ask([name, seed, left])
            at = None
            while (answer := self._answer()) is not None and "end" not in answer:
                if "begin" in answer:
                    at = answer["begin"]
                    continue
                left.remove(answer["number"])
                yield answer
            if answer is not None:
                return
            if at is None or at not in left:
                raise RuntimeError(f"the sound files of {name} cannot be read:\n{self._tail()}")
            yield {
                "number": at,
                "kind": "find",
                "cause": self._death(),
                "text": self._tail()[-400:],
            }
            left.remove(at)

    def _ask(self, question: list[Any]) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.worker", str(self.folder)], cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def _answer(self) -> dict[str, Any] | None:
        """None where it died or has been silent for too long."""
        assert self._process is not None
        assert self._process.stdout is not None
        end = time.monotonic() + _PATIENCE
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._process.stdout], [], [], end - time.monotonic())
            data = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        made: dict[str, Any] = json.loads(line)
        return made

    def _death(self) -> str:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        code = self._process.poll()
        self._end()
        return "hangs in a library" if code is None else f"the process died ({code})"

    def _end(self) -> None:
        process, self._process, self._pending = self._process, None, b""
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read()[-3000:].decode("utf-8", "replace")
