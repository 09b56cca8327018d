"""Video in and out through OpenCV: files, cameras, streams, GStreamer pipelines.

Files turn as their metadata says. Videos are written as MPEG-4 Part 2 (``mp4v``) in MP4, the codec
that every build of OpenCV writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edaformer.errors import FrameError, InputError
from edaformer.media.frames import Frame, Pixels, numbered
from edaformer.media.opencv import opencv, require_gstreamer

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp",
    ".ogv", ".mjpeg", ".mjpg", ".y4m", ".h264", ".h265", ".hevc",
})  # fmt: skip
DEFAULT_RATE = 25.0  # frames a second, where a source says none: pictures and some cameras
_MOST = 1000.0  # frames a second; more is a container's time base, not a rate
# Where a container has no index OpenCV announces duration times rate, which is one off or so
_MISSING_ALLOWED = 0.01


@dataclass(frozen=True)
class VideoFile:
    """A video in a file."""

    path: Path
    key: str
    live = False
    uses_opencv = True

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def count(self) -> int | None:
        """As the container announces; None where it does not, or cannot be opened."""
        return frames_in(self.path) if self.path.is_file() else None  # a pipe would block

    def frames(self) -> Iterator[Frame]:
        """Every frame.

        Raises:
            FrameError: if it is no video, or ends before the frame count it announces.
        """
        if not self.path.is_file():
            raise FrameError("it is no regular file")
        if self.path.stat().st_size == 0:
            raise FrameError("it is empty")
        with self.path.open("rb"):  # OpenCV would not say that it lacks the permission
            pass
        capture = opencv().VideoCapture(str(self.path))
        if not capture.isOpened():
            raise FrameError("OpenCV cannot read it as a video; it is damaged, or none")
        announced, given = _announced(capture), 0
        for frame in _frames(capture, self.name, self.key):
            given += 1
            yield frame
        if given == 0:
            raise FrameError("it holds no frame that OpenCV can decode")
        if announced is not None and given < announced - max(1, announced * _MISSING_ALLOWED):
            raise FrameError(f"it announces {announced} frames and only {given} can be decoded")


@dataclass(frozen=True)
class LiveVideo:
    """A camera by its index, a device or URL, or a GStreamer pipeline (which has a ``!``)."""

    name: str
    key: str
    live = True
    uses_opencv = True
    count = None

    @property
    def is_pipeline(self) -> bool:
        """Whether GStreamer reads it."""
        return "!" in self.name

    def frames(self) -> Iterator[Frame]:
        """Frames until it ends or nobody asks for more.

        Raises:
            FrameError: if it cannot be opened, or is a camera that stops.
            MissingError: if it needs GStreamer and OpenCV has none.
        """
        cv2 = opencv()
        if self.is_pipeline:
            require_gstreamer()
            capture = cv2.VideoCapture(self.name, cv2.CAP_GSTREAMER)
        else:
            capture = cv2.VideoCapture(int(self.name) if self.name.isdigit() else self.name)
        if not capture.isOpened():
            raise FrameError(f"OpenCV cannot open {self._what}; check that it is there and free")
        given = 0
        for frame in _frames(capture, self._what, self.key):
            given += 1
            yield frame
        if given == 0 or self.name.isdigit():
            raise FrameError(f"{self._what} gave {given} frames and then no more")

    @property
    def _what(self) -> str:
        return f"camera {self.name}" if self.name.isdigit() else self.name


class VideoWriter:
    """A video that is being written, of one size and one rate; closed, it is complete.

    Args:
        path: ends in ``.mp4``.
        size: (H, W) in pixels; an odd side gains a row or column.
        rate: frames a second.

    Raises:
        InputError: if OpenCV cannot write such a video.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        cv2 = opencv()
        height, width = (side + side % 2 for side in size)  # OpenCV would cut odd ones
        self.size = height, width
        codec = cv2.VideoWriter_fourcc(*"mp4v")
        self._writer: Any = cv2.VideoWriter(str(path), codec, rate, (width, height))
        if not self._writer.isOpened():
            raise InputError(
                f"OpenCV cannot write a video of {height}x{width} at {rate:g} frames a second; "
                "use smaller inputs or another --fps"
            )

    def write(self, picture: Pixels) -> None:
        """Add a frame; one of another size is scaled to fit, its ratio kept, on black."""
        cv2 = opencv()
        self._writer.write(cv2.cvtColor(_fitted(picture, self.size), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


def frames_in(path: Path) -> int | None:
    """How many frames a video announces; None where it does not, or cannot be opened."""
    capture = opencv().VideoCapture(str(path))
    try:
        return _announced(capture)
    finally:
        capture.release()


def _frames(capture: Any, name: str, key: str) -> Iterator[Frame]:
    """Frames of an open capture, which is released at the end."""
    cv2 = opencv()
    if hasattr(cv2, "CAP_PROP_ORIENTATION_AUTO"):
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    rate = _rate(capture.get(cv2.CAP_PROP_FPS))
    index = 0
    try:
        while True:
            there, picture = capture.read()
            if not there:
                return
            pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            yield Frame(f"{name}, frame {index}", numbered(key, index), pixels, rate)
            index += 1
    finally:
        capture.release()


def _rate(value: float) -> float:
    """Frames a second, or the default where that is no rate."""
    return value if math.isfinite(value) and 0 < value <= _MOST else DEFAULT_RATE


def _announced(capture: Any) -> int | None:
    count = capture.get(opencv().CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < 1e9 else None


def _fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture on a canvas of ``size`` (H, W), which has even sides."""
    height, width = picture.shape[:2]
    if (height + height % 2, width + width % 2) == size:
        return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    factor = min(size[0] / height, size[1] / width)
    height, width = (max(1, round(side * factor)) for side in (height, width))
    cv2 = opencv()
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return canvas
