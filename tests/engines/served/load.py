"""Clients that ask a server without a pause, and know the right answers."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.run.labeller import ServedLabeller, open_labeller
from edaformer.errors import EdaformerError

Frame = NDArray[np.uint8]
SIZES = ((60, 90), (33, 47), (60, 90), (121, 80))
_END = 180.0  # seconds in which a client must have its last answer; none of them takes 60


def frames() -> list[Frame]:
    """Frames of several sizes, (H, W, 3)."""
    dice = np.random.default_rng(5)
    return [
        dice.integers(0, 64, (*size, 3), dtype=np.uint8)
        + np.linspace(0, 190, size[1], dtype=np.uint8)[:, None]
        for size in SIZES
    ]


@dataclass
class Known:
    """The frames with the labels that some artifacts give: any of them is right."""

    frames: list[Frame]
    labels: list[list[Frame]]  # by artifact

    @classmethod
    def of(cls, *artifacts: Path) -> Self:
        """Labelled here, without a server."""
        asked = frames()
        return cls(asked, [list(open_labeller(path).stream(asked)) for path in artifacts])

    def which(self, index: int, labels: Frame) -> int | None:
        """Whose labels of the frame these are; None: nobody's."""
        found = (i for i, one in enumerate(self.labels) if np.array_equal(one[index], labels))
        return next(found, None)


@dataclass
class Told:
    """What clients were told."""

    right: Counter[int] = field(default_factory=Counter)  # by artifact
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)  # by their words
    unanswered: int = 0  # clients whose last request has no end
    seconds: list[float] = field(default_factory=list)  # of answered requests

    def to_json(self) -> dict[str, object]:
        """For a record: the words without ports, and cut."""
        errors = Counter[str]()
        for words, count in self.errors.items():
            errors[re.sub(r"127\.0\.0\.1:\d+", "HOST", words)[:160]] += count
        return {
            "right": sum(self.right.values()), "wrong": self.wrong, "unanswered": self.unanswered,
            "errors": sum(self.errors.values()), "words": dict(errors.most_common(6)),
            "slowest": round(max(self.seconds, default=0), 3),
        }  # fmt: skip


class Load:
    """Clients in threads, until the block ends; ``told`` is whole then.

    A client that is told an error connects again, as one does that wants an answer.
    """

    def __init__(self, addresses: list[str], known: Known, *, pause: float = 0.0) -> None:
        """A client for each address; ``pause`` seconds between an answer and the next request."""
        self.told, self._known, self._pause = Told(), known, pause
        self._end, self._lock = threading.Event(), threading.Lock()
        self._clients = [
            threading.Thread(target=self._client, args=(address, index), daemon=True)
            for index, address in enumerate(addresses)
        ]

    def __enter__(self) -> Self:
        """Started."""
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Ended: each client has its last answer, or is counted as unanswered."""
        self._end.set()
        for client in self._clients:
            client.join(_END)
            self.told.unanswered += client.is_alive()

    def answered(self) -> int:
        """Requests with labels so far."""
        with self._lock:
            return sum(self.told.right.values())

    def wait(self, more: int, seconds: float = 120.0) -> None:
        """Until so many more are answered."""
        wanted, end = self.answered() + more, time.monotonic() + seconds
        while self.answered() < wanted:
            assert time.monotonic() < end, f"no answers: {self.told.to_json()}"
            time.sleep(0.01)

    def wait_for_error(self, seconds: float = 120.0) -> None:
        """Until a client is told one more."""
        before, end = self._errors(), time.monotonic() + seconds
        while self._errors() == before:
            assert time.monotonic() < end, f"nobody is told: {self.told.to_json()}"
            time.sleep(0.01)

    def _errors(self) -> int:
        with self._lock:
            return sum(self.told.errors.values())

    def _client(self, address: str, index: int) -> None:
        labeller: ServedLabeller | None = None
        while not self._end.is_set():
            index = (index + 1) % len(self._known.frames)
            start = time.perf_counter()
            try:
                labeller = labeller or ServedLabeller(Path(address))
                labels = labeller(self._known.frames[index])
            except EdaformerError as error:
                self._failed(str(error))
                if labeller is not None:
                    labeller.close()
                labeller = None
            else:
                self._answered(self._known.which(index, labels), time.perf_counter() - start)
            self._end.wait(self._pause)
        if labeller is not None:
            labeller.close()

    def _failed(self, words: str) -> None:
        with self._lock:
            self.told.errors[words] += 1
        self._end.wait(0.05)

    def _answered(self, whose: int | None, seconds: float) -> None:
        with self._lock:
            self.told.seconds.append(seconds)
            if whose is None:
                self.told.wrong += 1
            else:
                self.told.right[whose] += 1
