"""Video files, read by FFmpeg through PyAV.

- Every frame has the time that the file gives it, so that a variable rate stays one.
- Frames turn as the file says, and have 8 bits whatever it has; its colour matrix and range count.
- Of several streams the film is taken: not a cover picture or thumbnails.
- A damaged part costs its frames and no others.

A file is handed over open: whatever its name is, it is no address, and what it holds cannot make
FFmpeg open another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edaformer.errors import FrameError
from edaformer.media.ffmpeg import ffmpeg, said
from edaformer.media.frames import Frame, Needs, Pixels, never, numbered

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".m2v", ".ts", ".mts",
    ".m2ts", ".vob", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".mjpeg",
    ".mjpg", ".y4m", ".ivf", ".h264", ".264", ".h265", ".265", ".hevc",
})  # fmt: skip
DEFAULT_RATE = 25.0  # frames a second, where a source says none: pictures and some cameras
MOST_RATE = 1000.0  # frames a second; more is a container's time base, not a rate
_MISSING_ALLOWED = 0.01  # of what a container announces, which not all count exactly
_CLOCK = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,9})?)")
_STILL = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})  # what covers are coded as


@dataclass(frozen=True)
class VideoFile:
    """A video in a file."""

    path: Path
    key: str
    live = False
    needs: ClassVar[Needs] = "av"

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def count(self) -> int | None:
        """As the file announces, or its length and rate make; None where it cannot be opened."""
        try:
            with _film(self.path) as film:
                seconds = film.seconds
                estimate = None if seconds is None else round(seconds * film.rate)
                return film.stream.frames or estimate
        except FrameError:
            return None

    def frames(self, stop: Callable[[], bool] = never) -> Iterator[Frame]:
        """Every frame.

        Raises:
            FrameError: if it is no video, or ends before what it announces.
        """
        del stop
        with _film(self.path) as film:
            for index, (pixels, time) in enumerate(film.pictures()):
                name = f"{self.name}, frame {index}"
                yield Frame(name, numbered(self.key, index), pixels, film.rate, time)
            film.check_complete()


class _Film:
    """The stream of a file that is its film."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self.stream = _chosen(container.streams.video)
        self.stream.thread_type = "AUTO"
        self.rate = _rate(self.stream)
        self._given, self._passed_over, self._end = 0, 0, 0.0
        self._damage = ""

    @property
    def seconds(self) -> float | None:
        """How long it is by its own account; that of its file counts where it is alone in it."""
        stream, container = self.stream, self._container
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if said_so := _CLOCK.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska's
            hours, minutes, seconds = map(float, said_so.groups())
            return 3600 * hours + 60 * minutes + seconds
        if container.duration is not None and len(container.streams) == 1:
            return float(container.duration / 1e6)
        return None

    def pictures(self) -> Iterator[tuple[Pixels, float]]:
        """Each frame and its time in seconds."""
        start = _start(self._container)
        for frame in self._decoded():
            time = self._end if frame.time is None else frame.time - start
            yield _upright(frame), time
            self._given += 1
            self._end = max(self._end, time + 1 / self.rate)

    def check_complete(self) -> None:
        """Refuse a film that is shorter than it says.

        Raises:
            FrameError: saying how much of it there is.
        """
        why = f" ({self._damage})" if self._damage else ""
        if self._given == 0:
            raise FrameError(f"it holds no frame that FFmpeg can decode{why}")
        announced = max(0, self.stream.frames - self._passed_over)
        if self._given < announced - max(1, announced * _MISSING_ALLOWED):
            raise FrameError(
                f"it announces {announced} frames and only {self._given} can be decoded{why}"
            )
        seconds = self.seconds
        if seconds is not None and not announced:
            first = _start(self._container)
            if self._end + first < seconds - max(1.0, seconds * _MISSING_ALLOWED):
                raise FrameError(
                    f"it announces {seconds:.1f} seconds and ends after {self._end:.1f}{why}"
                )

    def _decoded(self) -> Iterator[Any]:
        """Every frame that FFmpeg makes; what it says of others is kept."""
        failure = ffmpeg().FFmpegError
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except failure as error:
                self._damage = said(error)
                return
            if packet is None:
                return
            # cut out by the container's edit list: there, and not to be shown
            self._passed_over += bool(packet.is_discard)
            try:
                yield from packet.decode()
            except failure as error:
                self._damage = said(error)


@contextmanager
def _film(path: Path) -> Iterator[_Film]:
    if not path.is_file():  # a pipe would block
        raise FrameError("it is no regular file")
    av = ffmpeg()
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise FrameError("it is empty")
            file.seek(0)
            with av.open(file, metadata_errors="replace") as container:
                if not container.streams.video:
                    raise FrameError("it holds no video, only sound or text")
                if all(stream.codec_context is None for stream in container.streams.video):
                    raise FrameError("FFmpeg has no decoder for its video; convert it to H.264")
                yield _Film(container)
    except av.FFmpegError as error:
        raise FrameError(
            f"FFmpeg cannot read it as a video ({said(error)}); it is damaged, or none"
        ) from error
    except OSError as error:
        raise FrameError(f"it cannot be read ({error.strerror or error})") from error


def _chosen(streams: Any) -> Any:
    """The film among them; the first, where several are as good."""
    from av.stream import Disposition

    beside = (
        Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
        | Disposition.dependent
    )  # fmt: skip

    def likely(stream: Any) -> tuple[bool, ...]:
        disposition = Disposition(stream.disposition)
        still = stream.frames == 1 or stream.codec_context.name in _STILL
        return not disposition & beside, not still, bool(disposition & Disposition.default)

    return max((stream for stream in streams if stream.codec_context), key=likely)


def _start(container: Any) -> float:
    """Seconds that a broadcast's clock shows at the beginning; other files begin at 0."""
    from av.format import Flags

    broadcast = Flags.ts_discont in Flags(container.format.flags)
    return container.start_time / 1e6 if broadcast and container.start_time else 0.0


def _rate(stream: Any) -> float:
    """Frames a second, or the default where that is no rate."""
    value = float(stream.average_rate or stream.guessed_rate or 0)
    return value if math.isfinite(value) and 0 < value <= MOST_RATE else DEFAULT_RATE


def _upright(frame: Any) -> Pixels:
    """RGB (H, W, 3), turned as the file says."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
