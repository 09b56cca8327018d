"""Where drawings go: picture files, a video, a table of class areas, a window.

Each takes one drawing at a time and keeps none. Files appear whole: pictures each by itself, video
and table when all is done.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol, get_args

from PIL import Image

from edaformer.errors import InputError
from edaformer.files import check_folder, real_path, write_whole, written_whole
from edaformer.media.drawing import Drawing, png
from edaformer.media.video import DEFAULT_RATE, VideoWriter, frames_in
from edaformer.media.window import Window

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
            write_picture(path, _DRAWN[kind](drawing))
        return True


class VideoSink:
    """The overlays as a video."""

    def __init__(self, path: Path, rate: float | None) -> None:
        self._path, self._rate = path, rate
        self._writer: VideoWriter | None = None
        self._taken = 0

    def take(self, drawing: Drawing) -> bool:
        """Write its overlay; the first one settles size and rate."""
        picture = drawing.overlay
        if self._writer is None:
            rate = self._rate or drawing.frame.rate or DEFAULT_RATE
            self._writer = VideoWriter(self._path, (picture.shape[0], picture.shape[1]), rate)
        self._writer.write(picture)
        self._taken += 1
        return True

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()

    def check(self) -> None:
        """Refuse a file that lacks frames: OpenCV does not say when a disk is full.

        Raises:
            InputError: naming how many there are.
        """
        there = frames_in(self._path)
        if there != self._taken:
            raise InputError(
                f"OpenCV wrote {there or 0} of {self._taken} frames of the video; free some space "
                "or name another place"
            )


class CsvSink:
    """A row for each class in each frame."""

    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(("frame", "height", "width", "class", "name", "pixels", "share"))

    def take(self, drawing: Drawing) -> bool:
        """Write its rows."""
        size = drawing.frame.size
        for label, name, pixels, share in _areas(drawing):
            row = (drawing.frame.name, *size, label, name, pixels, f"{share:.6f}")
            self._rows.writerow(row)
        return True


class JsonSink:
    """A list of frames, each with its classes."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._before = file, "["

    def take(self, drawing: Drawing) -> bool:
        """Write its entry."""
        height, width = drawing.frame.size
        names = ("class", "name", "pixels", "share")
        areas = [dict(zip(names, area, strict=True)) for area in _areas(drawing)]
        entry = {"frame": drawing.frame.name, "height": height, "width": width, "classes": areas}
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
    """A video at ``path`` once the block has ended well; ``rate`` None takes the frames' own."""
    with written_whole(path) as part:
        sink = VideoSink(part, rate)
        try:
            yield sink
        finally:
            sink.close()
        sink.check()


@contextmanager
def stats_sink(path: Path) -> Iterator[Sink]:
    """The class areas at ``path``, CSV or JSON by its suffix, once the block has ended well."""
    # names of files that are no UTF-8 are written as they are
    with written_whole(path) as part, part.open("w", encoding="utf-8", errors="surrogateescape",
                                                newline="") as file:  # fmt: skip
        if path.suffix == ".csv":
            yield CsvSink(file)
            return
        sink = JsonSink(file)
        yield sink
        sink.close()


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
        raise InputError(f"{path} is also an input and would be replaced; name another -o")


def write_picture(path: Path, data: bytes) -> None:
    """Write a picture, and make its folder.

    Raises:
        InputError: if either cannot be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {path.parent} ({error.strerror}); name another with -o"
        ) from error
    write_whole(path, data)
