"""Cameras, streams and GStreamer pipelines, through OpenCV.

The newest frame is taken: whoever is slower than a camera passes frames over, and they are counted,
rather than falling behind. A stream that has an end, such as a film on a web server, is read frame
by frame instead. Live ones have none: one that ends, or is silent for SILENCE, is an error, after
as many attempts to open it again as the person wants.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from edaformer.errors import FrameError
from edaformer.media.frames import Frame, Needs, Pixels, never, numbered
from edaformer.media.opencv import opencv, require_gstreamer
from edaformer.media.video import DEFAULT_RATE, MOST_RATE

SILENCE = 10.0  # seconds without a frame, after which a source counts as gone
_GLANCE = 0.1  # seconds between two looks at whether somebody wants to stop
_LONGEST_WAIT = 8.0  # seconds between two attempts; the first is after one second
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveVideo:
    """A camera by its index, a device or URL, or a GStreamer pipeline (which has a ``!``)."""

    name: str
    key: str
    reconnect: int = 0  # attempts in a row, once it has ended or cannot be opened
    say: Callable[[str], None] = _log.warning  # hears of each of them
    live = True
    count = None

    @property
    def is_pipeline(self) -> bool:
        """Whether GStreamer reads it."""
        return "!" in self.name

    @property
    def needs(self) -> Needs | None:
        """OpenCV, or one with GStreamer."""
        return "gstreamer" if self.is_pipeline else "opencv"

    def frames(self, stop: Callable[[], bool] = never) -> Iterator[Frame]:
        """The newest frame whenever one is asked for, until nobody does or ``stop`` says so.

        Raises:
            FrameError: if it cannot be opened, ends or falls silent.
            MissingError: if it needs GStreamer and OpenCV has none.
        """
        opencv()
        if self.is_pipeline:
            require_gstreamer()
        begun, given, attempts = None, 0, 0
        while True:
            feed = _Feed(self.name, first=given)
            try:
                for arrival in feed.arrivals(stop):
                    begun = arrival.at if begun is None else begun
                    attempts = 0
                    given = arrival.index + 1
                    yield self._frame(arrival, arrival.at - begun, feed.rate)
            finally:
                feed.close()
            if stop() or feed.complete:
                return
            if feed.film or attempts == self.reconnect:
                raise FrameError(self._loss(feed, given))
            attempts += 1
            self.say(f"{self._loss(feed, given)}; attempt {attempts} of {self.reconnect}")
            _wait(min(2.0 ** (attempts - 1), _LONGEST_WAIT), stop)

    def _frame(self, arrival: _Arrival, seconds: float, rate: float) -> Frame:
        name, key = f"{self._what}, frame {arrival.index}", numbered(self.key, arrival.index)
        pixels = opencv().cvtColor(arrival.picture, opencv().COLOR_BGR2RGB)
        return Frame(name, key, pixels, rate, seconds, arrival.dropped)

    def _loss(self, feed: _Feed, given: int) -> str:
        if not feed.opened and not given:
            if feed.opening:
                return f"{self._what} did not open within {SILENCE:.0f} seconds"
            return f"OpenCV cannot open {self._what}; check that it is there and free"
        how = "no more" if feed.ended else f"none for {SILENCE:.0f} seconds"
        return f"{self._what} gave {given} frames and then {how}"

    @property
    def _what(self) -> str:
        return f"camera {self.name}" if self.name.isdigit() else self.name


@dataclass(frozen=True)
class _Arrival:
    """A frame, its number, when it came, and how many before it nobody took."""

    picture: Pixels  # BGR
    index: int
    at: float  # of time.monotonic; seconds of a film
    dropped: int = 0


class _Feed:
    """An open source: a thread of its own reads it, so that what is waiting is the newest."""

    def __init__(self, name: str, *, first: int) -> None:
        self._name, self._index = name, first
        self._waiting: _Arrival | None = None
        self._change = threading.Condition()
        self._wanted = True
        self.opening, self.opened, self.ended = True, False, False
        self.film, self.complete = False, False  # whether it has an end, and was read up to it
        self.rate = DEFAULT_RATE
        threading.Thread(target=self._read, name="live-video", daemon=True).start()

    def arrivals(self, stop: Callable[[], bool]) -> Iterator[_Arrival]:
        """The newest frame, again and again, until the source ends or is silent."""
        heard, next_one = time.monotonic(), self._index
        while not stop():
            with self._change:
                if self._waiting is None and not self.ended:
                    self._change.wait(_GLANCE)
                arrival, self._waiting = self._waiting, None
                self._change.notify_all()
            if arrival is not None:
                yield replace(arrival, dropped=arrival.index - next_one)
                heard, next_one = time.monotonic(), arrival.index + 1
            elif self.ended or time.monotonic() - heard > SILENCE:
                return

    def close(self) -> None:
        """Let the thread end; it gives back what it opened."""
        with self._change:
            self._wanted = False
            self._change.notify_all()

    def _read(self) -> None:
        capture = _open(self._name)
        try:
            self.opened, self.opening = bool(capture.isOpened()), False
            if self.opened:
                self._read_all(capture)
        finally:
            capture.release()
            with self._change:
                self.ended = True
                self._change.notify_all()

    def _read_all(self, capture: Any) -> None:
        cv2 = opencv()
        self.rate = _rate(capture.get(cv2.CAP_PROP_FPS))
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.film = 0 < announced < 1e9
        while self._wanted:
            there, picture = capture.read()
            if not there:
                # duration times rate where the container has no index: about right
                self.complete = self.film and self._index >= announced * 0.99 - 1
                return
            at = self._index / self.rate if self.film else time.monotonic()
            with self._change:
                while self.film and self._waiting is not None and self._wanted:
                    self._change.wait()
                self._waiting = _Arrival(picture, self._index, at)
                self._change.notify_all()
            self._index += 1


def _open(name: str) -> Any:
    cv2 = opencv()
    if "!" in name:
        return cv2.VideoCapture(name, cv2.CAP_GSTREAMER)
    capture = cv2.VideoCapture(int(name) if name.isdigit() else name)
    if hasattr(cv2, "CAP_PROP_ORIENTATION_AUTO"):
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _rate(value: float) -> float:
    """Frames a second, or the default where that is no rate."""
    return value if math.isfinite(value) and 0 < value <= MOST_RATE else DEFAULT_RATE


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(_GLANCE)
