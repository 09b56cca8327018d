"""Video out: H.264 in MP4, written by FFmpeg through PyAV, each frame at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from edaformer.errors import InputError, MissingError
from edaformer.media.ffmpeg import ffmpeg, said
from edaformer.media.frames import Frame, Pixels
from edaformer.media.video import DEFAULT_RATE

# Whole ticks of the usual rates, 23.976, 29.97 and 66.667 among them; others are 0.7 us off at most
_TICK = Fraction(1, 720_000)
_CODEC = "libx264"
_OPTIONS = {"preset": "veryfast", "crf": "18"}  # 13 ms a frame of 720x1280, and few artefacts
_ITU709 = 1  # its matrix, primaries and transfer curve, which players take for HD


class Clock:
    """When each frame is shown: as in its source, and one source after the other.

    Args:
        rate: frames a second, whatever the sources have; None keeps their times.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._series: str | None = None
        self._start = self._end = 0.0  # of this source; of what has been shown

    def at(self, frame: Frame) -> float:
        """Seconds from the beginning."""
        step = 1 / (self._rate or frame.rate or DEFAULT_RATE)
        if self._rate is not None or frame.time is None:
            time = self._end
        else:
            if self._series not in {None, frame.series}:
                self._start = self._end
            time = self._start + frame.time
        self._series, self._end = frame.series, max(self._end, time + step)
        return time


class VideoWriter:
    """A video that is being written, of one size; closed, it is complete.

    Args:
        file: to write and read; empty.
        size: (H, W) in pixels; an odd side gains a row or column.
        rate: frames a second, about: the frames' own times count.

    Raises:
        InputError: if FFmpeg cannot write such a video.
        MissingError: if there is no PyAV, or it was built without H.264.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], rate: float) -> None:
        av = ffmpeg()
        if _CODEC not in av.codecs_available:
            raise MissingError(
                f"PyAV {av.__version__} here was built without {_CODEC}, which writes H.264; "
                "PyPI's has it: pip install --force-reinstall av"
            )
        self.size = size[0] + size[0] % 2, size[1] + size[1] % 2  # colours are kept by 2x2 pixels
        self._last = -1
        self._container = av.open(file, "w", format="mp4")
        stream = self._container.add_stream(_CODEC, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = self.size
        stream.pix_fmt, stream.options = "yuv420p", _OPTIONS
        context = stream.codec_context
        context.time_base = _TICK
        context.colorspace = context.color_primaries = context.color_trc = _ITU709
        self._stream: Any = stream
        with self._explained():
            context.open()

    def write(self, picture: Pixels, time: float) -> None:
        """Add a frame at ``time`` seconds; one of another size is scaled to fit, on black."""
        av = ffmpeg()
        made = av.VideoFrame.from_ndarray(_fitted(picture, self.size), format="rgb24")
        frame = made.reformat(format="yuv420p", dst_colorspace=_ITU709)
        self._last = max(self._last + 1, round(time / _TICK))
        frame.pts, frame.time_base = self._last, _TICK
        with self._explained():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file."""
        with self._explained():
            self._container.mux(self._stream.encode())
            self._container.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ffmpeg().FFmpegError as error:
            if isinstance(error.__cause__, OSError):  # the file's own: a full disk
                raise error.__cause__ from error
            height, width = self.size
            raise InputError(
                f"FFmpeg cannot write a video of {height}x{width} ({said(error)}); use smaller "
                "inputs"
            ) from error


def frames_in(file: BinaryIO) -> int:
    """How many frames a video just written has."""
    av = ffmpeg()
    file.seek(0)
    try:
        with av.open(file, "r") as container:
            return int(container.streams.video[0].frames)
    except (av.FFmpegError, IndexError):
        return 0


def _fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture on a canvas of ``size`` (H, W), which has even sides."""
    height, width = picture.shape[:2]
    if (height + height % 2, width + width % 2) == size:
        return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    factor = min(size[0] / height, size[1] / width)
    height, width = (max(1, round(side * factor)) for side in (height, width))
    scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[:height, :width] = np.asarray(scaled)
    return canvas
