"""Where drawings go: picture files, a video, a table of class areas, a window.

Each takes one drawing at a time and keeps none. Files appear whole: pictures each by itself, video
and table when all is done.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, BinaryIO, Literal, Protocol, get_args

from PIL import Image

from edaformer.errors import InputError
from edaformer.files import check_folder, open_whole, real_path, write_whole
from edaformer.media.drawing import Drawing, png
from edaformer.media.video import DEFAULT_RATE
from edaformer.media.window import Window
from edaformer.media.writer import Clock, VideoWriter, frames_in

SaveKind = Literal["overlay", "labels", "ids", "side-by-side"]
SAVE_KINDS: tuple[SaveKind, ...] = get_args(SaveKind)

_DRAWN: dict[SaveKind, Callable[[Drawing], bytes]] = {
    "overlay": lambda drawing: png(Image.fromarray(drawing.overlay)),
    "labels": Drawing.palette_png,
    "ids": Drawing.ids_png,
    "side-by-side": lambda drawing: png(Image.fromarray(drawing.side_by_side())),
}


class Sink(Protocol):
    """Takes drawings."""

    def take(self, drawing: Drawing) -> bool:
        """Take one; False where the person wants no more."""


class PictureSink:
    """``FOLDER/KIND/KEY.png`` of every frame; the folders are made, the inputs never replaced."""

    def __init__(self, folder: Path, kinds: tuple[SaveKind, ...], inputs: tuple[Path, ...]) -> None:
        check_folder(folder)
        self._folder, self._kinds = folder, kinds
        self._inputs = {real_path(one) for one in inputs}

    def take(self, drawing: Drawing) -> bool:
        """Write its pictures."""
        for kind in self._kinds:
            path = self._folder / kind / f"{drawing.frame.key}.png"
            refuse_input(path, self._inputs)
            write_whole(path, _DRAWN[kind](drawing))
        return True


class VideoSink:
    """The overlays as a video, each at its frame's time."""

    def __init__(self, file: BinaryIO, rate: float | None) -> None:
        self._file, self._rate = file, rate
        self._clock = Clock(rate)
        self._writer: VideoWriter | None = None
        self._taken = 0

    def take(self, drawing: Drawing) -> bool:
        """Write its overlay; the first one settles the size."""
        picture, frame = drawing.overlay, drawing.frame
        if self._writer is None:
            rate = self._rate or frame.rate or DEFAULT_RATE
            self._writer = VideoWriter(self._file, (picture.shape[0], picture.shape[1]), rate)
        self._writer.write(picture, self._clock.at(frame))
        self._taken += 1
        return True

    def close(self) -> None:
        """Finish the file.

        Raises:
            InputError: if frames are not in it.
        """
        if self._writer is None:
            return
        self._writer.close()
        there = frames_in(self._file)
        if there != self._taken:
            raise InputError(
                f"FFmpeg wrote {there} of {self._taken} frames of the video; free some space or "
                "name another place"
            )


class CsvSink:
    """A row for each class in each frame."""

    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        columns = ("frame", "time", "height", "width", "class", "name", "pixels", "share")
        self._rows.writerow(columns)

    def take(self, drawing: Drawing) -> bool:
        """Write its rows."""
        frame = drawing.frame
        time = "" if frame.time is None else f"{frame.time:.6f}"
        for label, name, pixels, share in _areas(drawing):
            row = (frame.name, time, *frame.size, label, name, pixels, f"{share:.6f}")
            self._rows.writerow(row)
        return True


class JsonSink:
    """A list of frames, each with its classes."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._before = file, "["

    def take(self, drawing: Drawing) -> bool:
        """Write its entry."""
        frame, names = drawing.frame, ("class", "name", "pixels", "share")
        entry = {
            "frame": frame.name,
            "time": None if frame.time is None else round(frame.time, 6),
            "height": frame.size[0],
            "width": frame.size[1],
            "classes": [dict(zip(names, area, strict=True)) for area in _areas(drawing)],
        }
        self._file.write(f"{self._before}\n{json.dumps(entry)}")
        self._before = ","
        return True

    def close(self) -> None:
        """End the list."""
        self._file.write("\n]\n")


class WindowSink:
    """The overlays in a window: video as it comes, a picture until a key is pressed."""

    def __init__(self) -> None:
        self._window = Window()

    def take(self, drawing: Drawing) -> bool:
        """Show it."""
        return self._window.show(drawing.overlay, wait=drawing.frame.rate is None)

    def close(self) -> None:
        """Close the window."""
        self._window.close()


@contextmanager
def video_sink(path: Path, rate: float | None) -> Iterator[Sink]:
    """A video at ``path`` once the block has ended well; ``rate`` None keeps the frames' times."""
    with open_whole(path) as file:
        sink = VideoSink(file, rate)
        yield sink
        sink.close()


@contextmanager
def stats_sink(path: Path) -> Iterator[Sink]:
    """The class areas at ``path``, CSV or JSON by its suffix, once the block has ended well."""
    with open_whole(path) as file:
        # names of files that are no UTF-8 are written as they are
        text = TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        if path.suffix == ".csv":
            yield CsvSink(text)
        else:
            sink = JsonSink(text)
            yield sink
            sink.close()
        text.detach()  # flushes, and leaves the file open


@contextmanager
def window_sink() -> Iterator[Sink]:
    """A window, open during the block."""
    sink = WindowSink()
    try:
        yield sink
    finally:
        sink.close()


def _areas(drawing: Drawing) -> Iterator[tuple[int, str, int, float]]:
    """Label, name, pixels and share of each class that is there."""
    total = drawing.labels.size
    for label, pixels in enumerate(drawing.areas.tolist()):
        if pixels:
            yield label, drawing.style.classes[label], pixels, pixels / total


def refuse_input(path: Path, inputs: Collection[Path]) -> None:
    """Refuse to replace one of the inputs, which are resolved.

    Raises:
        InputError: if the path leads to one.
    """
    if real_path(path) in inputs:
        raise InputError(f"{path} is also an input and would be replaced; name another with -o")
